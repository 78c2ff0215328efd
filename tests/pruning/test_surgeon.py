"""`Surgeon` on networks of all kinds, with a loader and a likelihood."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from fishbone.pruning import Surgeon
from fishbone.pruning.surgeon import LEARNING


class Net(nn.Module):
    """A convolution with bias, a grouped one, one called twice; trained on nothing."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.norm = nn.BatchNorm2d(8)
        self.twice = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.last = nn.Linear(8, 4)

    def forward(self, x):
        x = self.norm(self.grouped(self.first(x).relu())).relu()
        return self.last(self.twice(self.twice(x).relu()).mean((2, 3)))


@pytest.fixture
def task():
    """(network that knows its classes, batches)."""
    torch.manual_seed(0)
    model = Net()
    labels = torch.arange(256) % 4
    inputs = 0.5 * torch.randn(256, 3, 6, 6)
    inputs[torch.arange(256), labels % 3] += 1.0 + (labels == 3)[:, None, None]
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(40):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimiser.step()
    return model.eval(), list(zip(inputs.split(64), labels.split(64), strict=True))


def accuracy(model, loader) -> float:
    with torch.no_grad():
        return torch.cat([model(x).argmax(1) == y for x, y in loader]).double().mean().item()


@pytest.mark.parametrize(
    ("pattern", "sparsity"), [("unstructured", 0.8), ("block-3", 0.6), ("2:4", 0.5), ("channels", 0.25)]
)
def test_any_network_is_pruned_in_place_in_every_pattern(task, pattern, sparsity):
    model, loader = task
    dense = accuracy(model, loader)
    pruned = Surgeon(model, loader).prune(sparsity, pattern=pattern, steps=4)
    weights = model.state_dict()
    assert set(pruned.masks) == {"grouped.weight", "twice.weight"}
    gone = sum(int((~mask).sum()) for mask in pruned.masks.values())
    size = sum(mask.numel() for mask in pruned.masks.values())
    assert size * sparsity - 72 < gone <= size * sparsity
    assert all(torch.count_nonzero(weights[name][~mask]) == 0 for name, mask in pruned.masks.items())
    assert pruned.gamma in (1e-2, 1e-3, 1e-4, 1e-5)
    assert min(pruned.validation_loss, key=pruned.validation_loss.get) == str(pruned.gamma)
    assert dense > 0.95
    assert accuracy(model, loader) > 0.7


def test_compensation_beats_leaving_weights_alone(task):
    model, loader = task
    losses = {}
    for method in ("fls", "magnitude"):
        candidate = copy.deepcopy(model)
        surgeon = Surgeon(candidate, loader, method=method)
        surgeon.prune(0.7, steps=6)
        losses[method] = surgeon._loss(candidate)
    assert losses["fls"] < losses["magnitude"]


def test_same_seed_same_bits_and_a_checkpoint_resumes(task, tmp_path):
    model, loader = task

    class Killed(Exception):
        pass

    def kill(row):
        if row["step"] == 3:
            raise Killed

    one, other, whole = (copy.deepcopy(model) for _ in range(3))
    learning = replace(LEARNING, first_steps=3, held_out=16)
    Surgeon(whole, loader, learning=learning).prune(0.8, steps=5)
    with pytest.raises(Killed):
        Surgeon(one, loader, learning=learning).prune(0.8, steps=5, checkpoint=tmp_path / "c", report=kill)
    assert (tmp_path / "c").exists()
    pruned = Surgeon(other, loader, learning=learning).prune(0.8, steps=5, checkpoint=tmp_path / "c")
    assert len(pruned.history) == 5
    assert not (tmp_path / "c").exists()
    for name, value in whole.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_an_autoencoder_is_pruned_by_its_own_likelihood(likelihood):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 12))
    x = (torch.rand(200, 12) > 0.5).float()
    surgeon = Surgeon(model, [(x, x)], likelihood)
    before = surgeon._loss(model)
    surgeon.prune(0.3, steps=3)
    assert surgeon._loss(model) < before + 0.3


def test_what_cannot_be_pruned_is_refused_by_name(task):
    model, loader = task
    for message, make in {
        "unknown method 'obx'": lambda: Surgeon(model, loader, method="obx"),
        "unknown likelihood 'poisson'": lambda: Surgeon(model, loader, "poisson"),
        "held_out is 999": lambda: Surgeon(model, loader, learning=replace(LEARNING, held_out=999)),
        "gave 2 inputs": lambda: Surgeon(model, [(loader[0][0][:2], loader[0][1][:2])]),
        "between 0 and 1": lambda: Surgeon(model, loader).prune(1.0),
        "2:4 goes to sparsity 0.5": lambda: Surgeon(model, loader).prune(0.9, pattern="2:4"),
    }.items():
        with pytest.raises(ValueError, match=message):
            make()
    model.first.weight = model.last.weight
    with pytest.raises(ValueError, match="share one weight"):
        Surgeon(model, loader)
