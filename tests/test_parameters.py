import json

import pytest

from fishbone.errors import InputError
from fishbone.parameters import Block


class Inner(Block):
    rates: list[float]


class Params(Block):
    weight: float
    inner: Inner


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("field", ["weight", r"inner\.rates\.1"])
@pytest.mark.parametrize("form", [dict, json.dumps], ids=["mapping", "JSON"])
def test_no_number_that_is_not_finite_is_a_parameter(value, field, form):
    inner, weight = ([1.0, value], 1.0) if field != "weight" else ([1.0], value)
    with pytest.raises(InputError, match=rf"^params\.yaml: {field}: input should be a finite number .*Give a finite"):
        Params.parse(form({"weight": weight, "inner": {"rates": inner}}), file="params.yaml")


def test_a_number_too_great_to_be_finite_is_refused():
    with pytest.raises(InputError, match="finite number"):
        Params.parse('{"weight": 1e999, "inner": {"rates": []}}', file="--params")
