import json
from dataclasses import asdict

import pytest
import torch
from torch import nn

from fishbone.nn.optimiser import Optimiser, apply


def trained(make) -> torch.Tensor:
    """The weights after four steps on a loss that is not a parabola."""
    weights = nn.Parameter(torch.linspace(-1, 1, 5, dtype=torch.float64))
    optimiser = make([weights])
    for _ in range(4):
        optimiser.zero_grad()
        (weights**4 + weights.sin()).sum().backward()
        optimiser.step()
    return weights.detach()


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (Optimiser("sgd", 0.1), lambda w: torch.optim.SGD(w, lr=0.1)),
        (
            Optimiser("sgd", 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
            lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        ),
        (Optimiser("sgd", 0.1, momentum=0.9), lambda w: torch.optim.SGD(w, lr=0.1, momentum=0.9)),
        (Optimiser("adam", 0.1), lambda w: torch.optim.Adam(w, lr=0.1)),
        (
            Optimiser("adam", 0.1, weight_decay=0.01, betas=(0.5, 0.9), eps=1e-2),
            lambda w: torch.optim.Adam(w, lr=0.1, weight_decay=0.01, betas=(0.5, 0.9), eps=1e-2),
        ),
    ],
)
def test_it_makes_torchs_own_to_the_last_bit(mine, theirs):
    assert torch.equal(trained(mine.make), trained(theirs))


def test_every_field_changes_what_is_learnt():
    plain = {"sgd": Optimiser("sgd", 0.1, momentum=0.9), "adam": Optimiser("adam", 0.1)}
    changed = [
        Optimiser("sgd", 0.2, momentum=0.9),
        Optimiser("sgd", 0.1, momentum=0.8),
        Optimiser("sgd", 0.1, momentum=0.9, nesterov=True),
        Optimiser("sgd", 0.1, momentum=0.9, weight_decay=0.1),
        Optimiser("adam", 0.2),
        Optimiser("adam", 0.1, weight_decay=0.1),
        Optimiser("adam", 0.1, betas=(0.5, 0.999)),
        Optimiser("adam", 0.1, betas=(0.9, 0.9)),
        Optimiser("adam", 0.1, eps=0.1),
    ]
    for other in changed:
        assert not torch.equal(trained(other.make), trained(plain[other.name].make))


def test_the_same_value_has_gone_through_json():
    sent = Optimiser("adam", 0.1, betas=(0.5, 0.9))
    read = json.loads(json.dumps(asdict(sent)))
    assert Optimiser(**read | {"betas": tuple(read["betas"])}) == sent


def test_there_is_none_of_no_parameters():
    assert Optimiser("sgd", 0.1).make(iter([])) is None


def test_a_parameter_without_a_new_gradient_rests_after_a_step():
    weights = nn.Parameter(torch.tensor([3.0, -1.0]))
    optimiser = Optimiser("sgd", 0.5, momentum=0.9).make([weights])
    weights.grad = torch.tensor([2.0, 4.0])
    apply(optimiser)
    assert weights.tolist() == [2.0, -3.0]
    apply(optimiser)  # a gradient of zeros would let the momentum move it on
    assert weights.tolist() == [2.0, -3.0]


def test_a_module_without_parameters_has_no_step_to_take():
    apply(Optimiser("adam", 0.1).make([]))
