"""Training of what is left: zeros stay zeros, the others learn, and each step draws anew."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.optimizer import _global_optimizer_post_hooks

from fishbone.curvature.isotropic import Isotropic
from fishbone.curvature.layout import Layout
from fishbone.errors import InputError
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.train import Recipe, train
from fishbone.pruning.compensation import Solver
from fishbone.pruning.pruner import Pruner, Surgery
from fishbone.pruning.retraining import Retraining, retrain
from fishbone.seeding import derive

RECIPE = Recipe(2, 10, 0.05, 0.3, 0.9, 0.0, 0, False, 0, 4, "fp32", "cpu")


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(16, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.first(x.flatten(1)).relu())


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(30, 1, 4, 4, generator=generator), torch.arange(30) % 3


@pytest.fixture
def pruned():
    torch.manual_seed(0)
    model = Small()
    surgery = Surgery("magnitude", "none", 10, Solver(1, 1e-3))
    made = Pruner(model, Layout.of(model, ("first.weight", "last.weight")), Isotropic(152), surgery)
    made.prune(0.6)
    return made


def test_removed_weights_stay_zero_and_all_others_learn(pruned, data):
    before = copy.deepcopy(pruned.model.state_dict())
    Retraining(data, data, RECIPE, 0).after(pruned, 1)
    weights = pruned.layout.read(pruned.model)
    assert torch.count_nonzero(weights[~pruned.mask]) == 0
    assert torch.count_nonzero(weights[pruned.mask]) == int(pruned.mask.sum())
    assert all(not torch.equal(value, before[name]) for name, value in pruned.model.state_dict().items())


def test_with_nothing_removed_it_is_plain_training_with_the_seed_of_the_step(pruned, data):
    plain, other = Small(), Small()
    for model in (plain, other):
        model.load_state_dict(pruned.model.state_dict())
    pruned.mask[:] = True
    Retraining(data, data, RECIPE, 7).after(pruned, 2)
    train(plain, data, data, RECIPE, derive(7, "retraining", 2), Checkpoint(None, {}))
    train(other, data, data, RECIPE, derive(7, "retraining", 3), Checkpoint(None, {}))
    found = pruned.model.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in plain.state_dict().items())
    assert not all(torch.equal(value, found[name]) for name, value in other.state_dict().items())


def test_other_networks_are_trained_freely_afterwards_also_after_a_failure(pruned, data):
    hooks = len(_global_optimizer_post_hooks)
    Retraining(data, data, RECIPE, 0).after(pruned, 1)
    assert len(_global_optimizer_post_hooks) == hooks
    with torch.no_grad():
        pruned.model.first.bias[0] = torch.inf
    message = r"^retraining\.learning_rate: .* at sparsity 0\.5987"
    with pytest.raises(InputError, match=message):
        retrain(pruned.model, pruned.layout, pruned.mask, data, data, RECIPE, 0)
    assert len(_global_optimizer_post_hooks) == hooks
