import math

import pytest
import torch
from torch import nn

from fishbone.errors import InputError
from fishbone.nn.divergence import is_finite, require_finite


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_blames_the_learning_rate(value):
    with pytest.raises(InputError) as refusal:
        require_finite(value, "the loss of step 3", "epoch 1")
    expected = f"learning_rate: training diverged in epoch 1: the loss of step 3 is {value}. Lower it."
    assert str(refusal.value) == expected


def test_another_parameter_may_be_to_blame():
    with pytest.raises(InputError, match=r"^damping: training diverged in step 2: it is nan\. Raise it\.$"):
        require_finite(math.nan, "it", "step 2", field="damping", remedy="Raise it.")


def test_the_largest_finite_number_passes():
    require_finite(-1.7976931348623157e308, "the loss", "epoch 1")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_bad_weight_of_many_is_seen_and_buffers_are_not_looked_at(value):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    model[1].running_mean.fill_(value)
    assert is_finite(model)
    with torch.no_grad():
        model[0].weight[1, 2] = value
    assert not is_finite(model)
