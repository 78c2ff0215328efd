"""Pruning a small network step by step."""

import copy

import pytest
import torch
from torch import nn

from fishbone.curvature.drift import Drift
from fishbone.curvature.gradients import Gradients
from fishbone.curvature.layout import Layout, prunable
from fishbone.curvature.learning import Learning
from fishbone.curvature.likelihoods import Gaussian
from fishbone.nn.resnet import ResNet
from fishbone.pruning.compensation import Solver
from fishbone.pruning.estimators import EstimatorFactory
from fishbone.pruning.methods import METHODS, VARIANTS
from fishbone.pruning.pruner import Pruner, Surgery

SOLVER = Solver(iterations=300, tolerance=1e-7)
LEARNING = Learning(
    "outer", "activations", 10, 5, 1e-3, 4, "noise", 5, 5, precondition=True, weights="all", renew=False
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    model = ResNet(8, 4, 1, 3)
    model(torch.randn(64, 1, 8, 8))
    return model.eval()


@pytest.fixture
def images():
    return torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(20) % 3


class Scaled(Gradients):
    """The gradients of ``scale`` times the loss's Fisher matrix."""

    scale = 1.0

    def _batch(self, model, images):
        layers = super()._batch(model, images)
        for layer in layers:
            layer.deltas = [self.scale**0.5 * delta for delta in layer.deltas]
        return layers


def pruner(network, images, method, every=2, gamma=1e-3, scale=1.0, learning=LEARNING) -> Pruner:
    model = copy.deepcopy(network)
    layout = Layout.of(model, prunable(model))
    recipe = (METHODS | VARIANTS)[method]
    gradients = Scaled(layout, images[0], "labels" if recipe.estimator == "blocks" else "exact", targets=images[1])
    gradients.scale = scale
    estimator = EstimatorFactory(recipe, gradients, block=16, learning=learning, seed=0).final(gamma)
    drift = Drift(gradients, model) if recipe.first_order else None
    return Pruner(model, layout, estimator, Surgery(recipe.ranking, recipe.compensation, every, SOLVER), drift)


EVERY_METHOD = pytest.mark.parametrize(
    "method", [*METHODS, "obs-anchored", "fls-three-way", "fls-assimilated", "fls-renewed"]
)


@EVERY_METHOD
def test_sparsity_is_exact_and_removed_weights_are_exactly_zero_after_every_step(network, images, method):
    made = pruner(network, images, method)
    dense = {name: value.clone() for name, value in network.state_dict().items()}
    previous = made.mask
    for sparsity in (0.3, 0.5, 0.51, 0.8):
        made.prune(sparsity)
        weights = made.layout.read(made.model)
        assert int((~made.mask).sum()) == int(sparsity * made.layout.size)
        assert torch.count_nonzero(weights[~made.mask]) == 0
        assert torch.isfinite(weights).all()
        assert not (made.mask & ~previous).any()
        previous = made.mask
    others = dense.keys() - set(made.layout.names)
    assert all(torch.equal(made.model.state_dict()[name], dense[name]) for name in others)


@EVERY_METHOD
def test_nothing_to_remove_leaves_the_network_bit_for_bit(network, images, method):
    made = pruner(network, images, method)
    made.prune(0.0)
    for name, value in made.model.state_dict().items():
        assert torch.equal(value, network.state_dict()[name])


def test_without_curvature_it_is_magnitude_pruning(network, images):
    made = pruner(network, images, "magnitude")
    weights = made.layout.read(network)
    made.prune(0.6)
    smallest = weights.abs().argsort(stable=True)[: int(0.6 * len(weights))]
    expected = weights.clone()
    expected[smallest] = 0
    assert torch.equal(made.layout.read(made.model), expected)


@pytest.mark.parametrize("method", ["fls", "obs"])
def test_great_damping_ranks_and_leaves_weights_as_magnitude_does(network, images, method):
    made, plain = (pruner(network, images, m, gamma=1e6) for m in (method, "magnitude"))
    for one in (made, plain):
        one.prune(0.6)
    assert (made.mask != plain.mask).sum() <= 2  # float32 ties
    both = made.mask & plain.mask
    read = made.layout.read
    torch.testing.assert_close(read(made.model)[both], read(plain.model)[both], rtol=1e-3, atol=5e-4)


def test_scaling_loss_and_damping_alike_removes_the_same_weights(network, images):
    one, other = pruner(network, images, "obs"), pruner(network, images, "obs", gamma=4e-3, scale=4.0)
    for made in (one, other):
        made.prune(0.6)
    assert torch.equal(one.mask, other.mask)


@pytest.mark.parametrize("method", ["fls", "obs"])
def test_compensation_repairs_what_removal_breaks(network, images, method):
    """Loss against the dense network's predictions, with and without the weights' compensation."""
    with torch.no_grad():
        network.fc.weight *= 10  # so that predictions differ between images
        target = network(images[0]).softmax(1)
    labels = torch.multinomial(target, 1, generator=torch.Generator().manual_seed(0))[:, 0]
    made = pruner(network, (images[0], labels), method, gamma=1e-4)
    made.prune(0.5)
    bare = copy.deepcopy(network)
    made.layout.write(bare, made.layout.read(network) * made.mask)

    def divergence(model) -> float:
        return nn.functional.kl_div(model(images[0]).log_softmax(1), target, reduction="batchmean").item()

    assert divergence(made.model) < 0.5 * divergence(bare)


def test_steps_between_refinements_add_up_to_one_joint_removal(network, images):
    """The down-date by the joint solve is exact: the same final mask gives the same weights however it was reached."""
    made = pruner(network, images, "fls", every=10)
    for sparsity in (0.2, 0.4, 0.5):
        made.prune(sparsity)
    single = pruner(network, images, "fls", every=10)
    single.prune(0.0)
    single.mask = made.mask
    single.prune(0.5)
    torch.testing.assert_close(single.layout.read(single.model), made.layout.read(made.model), rtol=1e-4, atol=1e-6)


@EVERY_METHOD
def test_a_restored_surgeon_goes_on_to_the_same_bits(network, images, method):
    whole, resumed = pruner(network, images, method), pruner(network, images, method)
    for sparsity in (0.3, 0.5, 0.6):
        whole.prune(sparsity)
    resumed.restore({name: value.clone() for name, value in whole.state().items()})
    logs = [[made.prune(s) for s in (0.7, 0.8)] for made in (whole, resumed)]
    assert logs[0] == logs[1]
    assert torch.equal(whole.mask, resumed.mask)
    assert torch.equal(whole.layout.read(whole.model), resumed.layout.read(resumed.model))


class Linear(nn.Module):
    """Outputs linear in the prunable weights."""

    def __init__(self):
        super().__init__()
        self.only = nn.Linear(12, 4, bias=False)

    def forward(self, x):
        return self.only(x)


def test_where_the_model_is_exact_the_first_order_term_changes_nothing():
    torch.manual_seed(0)
    model, inputs = Linear().double(), torch.randn(200, 12, dtype=torch.float64) @ torch.randn(12, 12).double()
    layout = Layout.of(model, ("only.weight",))
    gradients = Gradients(layout, inputs, "exact", Gaussian())
    ends = []
    for drift in (None, Drift(gradients, model)):
        own = copy.deepcopy(model)
        estimator = EstimatorFactory(METHODS["ekfac"], gradients, block=16, learning=LEARNING, seed=0).final(1e-9)
        made = Pruner(own, layout, estimator, Surgery("saliency", "anchored", 10, Solver(500, 1e-12)), drift)
        for sparsity in (0.2, 0.4, 0.6):
            made.prune(sparsity)
        ends.append(layout.read(own))
    torch.testing.assert_close(*ends, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("method", "other"), [("fls-first-order", "fls-start"), ("obs-first-order", "obs")])
def test_the_first_order_term_brings_outputs_back_towards_those_of_the_dense_network(network, images, method, other):
    divergence = {}
    for name in (method, other):
        made = pruner(network, images, name, every=1 if name.startswith("obs") else 10)
        for sparsity in (0.2, 0.4, 0.6, 0.7):
            made.prune(sparsity)
        now, then = (model(images[0]).log_softmax(1) for model in (made.model, network))
        divergence[name] = (then.exp() * (then - now)).sum(1).mean().item()
    assert divergence[method] < 0.8 * divergence[other]


def test_permuting_channels_permutes_the_mask(network, images):
    """The two convolutions of a block see their inner channels in another order; nothing else may change."""
    order = torch.tensor([2, 0, 3, 1])
    permuted = copy.deepcopy(network)
    block = permuted.blocks[0]
    with torch.no_grad():
        block.conv1.weight.copy_(block.conv1.weight[order])
        for tensor in (block.bn1.weight, block.bn1.bias, block.bn1.running_mean, block.bn1.running_var):
            tensor.copy_(tensor[order])
        block.conv2.weight.copy_(block.conv2.weight[:, order])
    masks = []
    for model in (network, permuted):
        made = pruner(model, images, "fls-start")
        made.prune(0.5)
        masks.append(made.layout.tensors(made.mask))
    first, second = ([m[f"blocks.0.conv{k}.weight"] for k in (1, 2)] for m in masks)
    assert (first[0][order] != second[0]).sum() <= 1
    assert (first[1][:, order] != second[1]).sum() <= 1
