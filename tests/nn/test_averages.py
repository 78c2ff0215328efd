from fractions import Fraction
from itertools import permutations

import torch

from fishbone.nn.averages import weighted_mean


def test_it_is_the_sum_of_shares_times_values_in_float64():
    first, second = torch.tensor([1.0, 3.0]), torch.tensor([5.0, -1.0])
    mean = weighted_mean({"a": (Fraction(1, 4), {"w": first}), "b": (Fraction(3, 4), {"w": second})})
    assert mean["w"].dtype == torch.float64
    assert mean["w"].tolist() == [4.0, 0.0]


def test_float32_values_are_not_rounded_on_the_way():
    large, small = torch.tensor([2.0**24]), torch.tensor([1.0])
    mean = weighted_mean({"a": (Fraction(1, 2), {"w": large}), "b": (Fraction(1, 2), {"w": small})})
    assert mean["w"].item() == (2**24 + 1) / 2


def test_the_order_of_arrival_changes_no_bit_where_the_order_of_the_sum_would():
    values = {"a": torch.tensor(1e17), "b": torch.tensor(-1e17), "c": torch.tensor(1.0)}
    large, third = values["a"].item(), float(Fraction(1, 3))
    arrived = permutations((name, (Fraction(1, 3), {"w": value})) for name, value in values.items())
    found = {weighted_mean(dict(parts))["w"].item() for parts in arrived}
    assert len(found) == 1
    assert found == {(large * third + -large * third) + third}
    assert found != {(third + large * third) + -large * third}


def test_the_mean_of_equals_is_themselves_when_their_shares_add_up():
    value = torch.tensor([0.1, -7.25, 3e8])
    parts = {str(owner): (Fraction(share, 8), {"w": value}) for owner, share in enumerate((1, 2, 5))}
    assert torch.allclose(weighted_mean(parts)["w"], value.double(), rtol=1e-15, atol=0)


def test_a_name_that_some_owners_have_is_averaged_over_these():
    own = torch.tensor([2.0])
    mean = weighted_mean(
        {
            "a": (Fraction(1, 2), {"shared": torch.tensor([1.0])}),
            "b": (Fraction(1, 2), {"shared": torch.tensor([3.0]), "alone": own}),
        }
    )
    assert mean["shared"].item() == 2.0
    assert mean["alone"].item() == 1.0
    assert own.item() == 2.0


def test_of_nobody_there_is_nothing():
    assert weighted_mean({}) == {}
