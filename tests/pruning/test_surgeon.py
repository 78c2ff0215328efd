"""`Surgeon` on networks of all kinds, with a loader and a likelihood."""

import copy
import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from fishbone.curvature.likelihoods import Softmax
from fishbone.errors import InputError
from fishbone.nn.models import build
from fishbone.pruning import Surgeon
from fishbone.pruning.defaults import LEARNING


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


class Unnamed:
    """A likelihood whose repr is an address."""

    root, residual, loss = Softmax.root, Softmax.residual, Softmax.loss
    temperature = 1.0


class NeverFinite(Softmax):
    def loss(self, outputs, targets):
        return outputs.sum() * torch.nan


@pytest.fixture
def task():
    """(network that knows its classes, batches)."""
    torch.manual_seed(0)
    model = Net()
    labels = torch.arange(256) % 4
    inputs = 0.5 * torch.randn(256, 3, 6, 6)
    inputs[torch.arange(256), labels % 3] += 1.0 + (labels == 3)[:, None, None]
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(120):
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
    assert accuracy(model, loader) > 0.6  # by chance 0.25


def test_compensation_beats_leaving_weights_alone(task):
    model, loader = task
    losses = {}
    for method in ("fls-first-order", "fls", "magnitude"):
        candidate = copy.deepcopy(model)
        surgeon = Surgeon(candidate, loader, method=method)
        surgeon.prune(0.8, steps=6)
        losses[method] = surgeon._loss(candidate)
    assert losses["fls-first-order"] < losses["fls"] < losses["magnitude"]


def test_same_seed_same_bits_and_a_checkpoint_resumes(task, tmp_path):
    model, loader = task

    class Killed(Exception):
        pass

    def kill(row):
        if row["step"] == 3:
            raise Killed

    def refuse(row):
        raise AssertionError("the work was done already")

    one, other, whole = (copy.deepcopy(model) for _ in range(3))
    learning = replace(LEARNING, first_steps=3, held_out=16)
    Surgeon(whole, loader, learning=learning).prune(0.8, steps=5)
    with pytest.raises(Killed):
        Surgeon(one, loader, learning=learning).prune(0.8, steps=5, checkpoint=tmp_path / "c", report=kill)
    assert (tmp_path / "c").exists()
    pruned = Surgeon(other, loader, learning=learning).prune(0.8, steps=5, checkpoint=tmp_path / "c")
    assert len(pruned.history) == 5
    late = copy.deepcopy(model)  # the file stays until the caller has saved the network
    again = Surgeon(late, loader, learning=learning).prune(0.8, steps=5, checkpoint=tmp_path / "c", report=refuse)
    assert again.history == pruned.history
    for name, value in whole.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
        assert torch.equal(late.state_dict()[name], value), name


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
        "images is 3": lambda: Surgeon(model, loader, images=3),
        "not 5 and 4": lambda: Surgeon(model, loader, validation=(loader[0][0][:5], loader[0][1][:4])),
        "Linear layer: norm; there are first.weight": lambda: Surgeon(model, loader, names=["norm"]),
        "at least one weight, each once, not []": lambda: Surgeon(model, loader, names=[]),
        "each once, not ['twice.weight', 'twice.weight']": lambda: Surgeon(model, loader, names=["twice.weight"] * 2),
        "targets float32 (2,)": lambda: Surgeon(model, [(x, y.float()) for x, y in loader]),
        "inputs float32 (2, 3, 6)": lambda: Surgeon(model, [(x[..., 0], y) for x, y in loader]),
        "first.weight is torch.bfloat16": lambda: Surgeon(copy.deepcopy(model).bfloat16(), loader),
        "between 0 and 1": lambda: Surgeon(model, loader).prune(1.0),
        "2:4 goes from sparsity 0.25 to 0.5, not to 0.9": lambda: Surgeon(model, loader).prune(0.9, pattern="2:4"),
        "2:4 goes from sparsity 0.25 to 0.5, not to 0.2": lambda: Surgeon(model, loader).prune(0.2, pattern="2:4"),
        "unknown scope 'Global'": lambda: Surgeon(model, loader).prune(0.5, scope="Global"),
        "unknown schedule 'linear'": lambda: Surgeon(model, loader).prune(0.5, schedule="linear"),
        "steps should be at least 1, not 0": lambda: Surgeon(model, loader).prune(0.5, steps=0),
        "at least one, not ()": lambda: Surgeon(model, loader).prune(0.5, gammas=()),
        "above 0": lambda: Surgeon(model, loader).prune(0.5, gammas=(0.0, 1e-3)),
        "needs a __repr__": lambda: Surgeon(model, loader, Unnamed()).prune(0.5, checkpoint="c"),
    }.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            make()


def test_weights_that_are_no_parameters_of_their_own_are_refused(task):
    model, loader = task
    tied = copy.deepcopy(model)
    tied.first = nn.Conv2d(8, 8, 3, padding=1)
    wide = [(x.repeat(1, 3, 1, 1)[:, :8], y) for x, y in loader]
    tied.twice.weight = tied.first.weight
    for names in (None, ["twice.weight"]):
        with pytest.raises(ValueError, match=r"first\.weight and twice\.weight share one weight"):
            Surgeon(tied, wide, names=names)
    Surgeon(tied, wide, names=["grouped.weight"])
    for normed in (nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm):
        other = copy.deepcopy(model)
        normed(other.grouped)
        with pytest.raises(ValueError, match=r"grouped\.weight is computed from other parameters"):
            Surgeon(other, loader)


def test_a_pruned_network_is_pruned_further_but_not_less(task):
    model, loader = task
    Surgeon(model, loader).prune(0.6, steps=2, gammas=[1e-3])
    with pytest.raises(ValueError, match=r"is below the 0\.5995 that the network has already"):
        Surgeon(model, loader).prune(0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    masks = Surgeon(model, loader).prune(0.7, steps=2, gammas=[1e-3]).masks
    assert all(not mask[before[name] == 0].any() for name, mask in masks.items())


def test_every_module_keeps_its_mode(task):
    model, loader = task
    model.train()
    model.norm.eval()
    Surgeon(model, loader).prune(0.5, steps=2)
    assert {name for name, module in model.named_modules() if not module.training} == {"norm"}


def test_magnitude_has_no_damping(task):
    model, loader = task
    pruned = Surgeon(model, loader, method="magnitude").prune(0.5, steps=2)
    assert (pruned.gamma, pruned.validation_loss) == (None, {})


def test_dampings_that_all_diverge_are_an_error_and_the_network_stays(task):
    model, loader = task
    before = {name: value.clone() for name, value in model.state_dict().items()}
    surgeon = Surgeon(model, loader, NeverFinite())
    with pytest.raises(ValueError, match=r"none of the dampings 0\.01, 0\.001"):
        surgeon.prune(0.5, steps=1, gammas=[1e-2, 1e-3])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("method", ["fls", "obs", "mfac", "kfac"])
def test_inputs_may_be_indices_of_tokens(method):
    torch.manual_seed(0)
    layers = nn.Embedding(20, 8), nn.Flatten(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 16), nn.Linear(16, 3)
    tokens, labels = torch.randint(0, 20, (64, 4)), torch.arange(64) % 3
    learning = replace(LEARNING, first_steps=2, held_out=8)
    model = nn.Sequential(*layers)
    pruned = Surgeon(model, [(tokens, labels)], method=method, learning=learning).prune(0.5, steps=2, gammas=[1e-2])
    assert sum(int((~mask).sum()) for mask in pruned.masks.values()) == 128


def test_images_held_out_hold_of_each_class_its_share_also_of_a_sorted_loader():
    inputs, labels = torch.randn(256, 3, 6, 6), torch.arange(4).repeat_interleave(64)
    surgeon = Surgeon(Net().eval(), [(inputs, labels)])
    held, targets = surgeon.validation
    assert targets.bincount().tolist() == [16] * 4
    assert all(any(torch.equal(one, x) for x in inputs[labels == y]) for one, y in zip(held, targets, strict=True))
    assert len({x.numpy().tobytes() for x in (*held, *surgeon.inputs)}) == 256


def test_images_held_out_of_targets_that_are_no_classes_are_drawn():
    targets = torch.arange(256.0)[:, None].repeat(1, 4)
    surgeon = Surgeon(Net().eval(), [(torch.randn(256, 3, 6, 6), targets)], "gaussian")
    held = surgeon.validation[1][:, 0]
    assert len(held) == 64
    assert held.max() > 200


@pytest.mark.parametrize(("width", "kept"), [(8, False), (16, True)])
def test_a_network_that_channels_last_makes_wrong_is_pruned_in_plain_format(width, kept):
    network = build({"name": "resnet", "depth": 8, "width": width, "channels": 3, "classes": 3})
    network.to(memory_format=torch.channels_last)
    images = torch.randn(16, 8, 8, 3).permute(0, 3, 1, 2)
    before = [weight.clone() for weight in network.parameters()]
    surgeon = Surgeon(network, [(images, torch.arange(16) % 3)], images=16, learning=replace(LEARNING, held_out=2))
    for tensor in (surgeon.inputs, network.blocks[0].conv1.weight):
        assert tensor.is_contiguous(memory_format=torch.channels_last) == kept
    assert all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


def batches(labels: torch.Tensor):
    """Noise with these labels, in batches of 64."""
    return list(zip(torch.randn(len(labels), 6).split(64), labels.split(64), strict=True))


def classifier(outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, outputs)).eval()


@pytest.mark.parametrize("images", [128, 150, 256])
def test_a_loader_that_is_sorted_by_class_is_refused_where_only_a_part_of_it_is_read(images):
    model, sorted_by_class = classifier(4), torch.arange(4).repeat_interleave(100)
    with pytest.raises(InputError, match=r"^loader: .* of \d classes, and the network has 4 outputs\. Shuffle it"):
        Surgeon(model, batches(sorted_by_class), images=images)
    Surgeon(model, batches(sorted_by_class), images=400)
    Surgeon(model, batches(sorted_by_class[torch.randperm(400)]), images=images)
    Surgeon(model, batches(torch.arange(2).repeat(64)), images=128)  # all there is


def test_of_many_classes_a_shuffled_loader_need_not_show_all():
    sorted_by_class = torch.arange(300).repeat_interleave(20)
    shuffled = sorted_by_class[torch.randperm(6000)]
    assert len(shuffled[:256].unique()) < 256
    Surgeon(classifier(300), batches(shuffled), images=256)
    with pytest.raises(InputError, match="Shuffle it"):
        Surgeon(classifier(300), batches(sorted_by_class), images=256)


def test_a_network_that_is_not_finite_is_refused_by_the_name_of_the_weight(task):
    model, loader = task
    with torch.no_grad():
        model.twice.weight[0, 0] = torch.inf
    with pytest.raises(ValueError, match=r"twice\.weight holds values that are not finite"):
        Surgeon(model, loader)
