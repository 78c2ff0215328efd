"""The multi-step surgeon on a small network."""

import copy

import pytest
import torch
from torch import nn

from fishbone.curvature.block_fisher import BlockFisher
from fishbone.curvature.fishleg import FishLeg
from fishbone.curvature.isotropic import Isotropic
from fishbone.curvature.layout import Layout, prunable
from fishbone.curvature.learning import Learning
from fishbone.curvature.rows import empirical_rows, fisher_rows
from fishbone.nn.resnet import ResNet
from fishbone.pruning.compensation import Solver
from fishbone.pruning.surgeon import Surgeon

SOLVER = Solver(iterations=300, tolerance=1e-10)
LEARNING = Learning(10, 5, 1e-3, 4, 5, 5, precondition=True, weights="all")


@pytest.fixture
def network():
    torch.manual_seed(0)
    model = ResNet(8, 4, 1, 3)
    model(torch.randn(64, 1, 8, 8))
    return model.eval()


@pytest.fixture
def images():
    return torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(20) % 3


def estimators(layout, images, gamma=1e-3, scale=1.0) -> dict:
    inputs, labels = images
    root = scale**0.5
    return {
        "fls": FishLeg(layout, lambda m: root * fisher_rows(m, layout, inputs), gamma, LEARNING, 0),
        "obs": BlockFisher(layout, lambda m: root * empirical_rows(m, layout, inputs, labels), gamma, 16),
        "magnitude": Isotropic(layout.size),
    }


def surgeon(network, images, method, every=2, **changes) -> Surgeon:
    model = copy.deepcopy(network)
    layout = Layout.of(model, prunable(model))
    return Surgeon(model, layout, estimators(layout, images, **changes)[method], SOLVER, every)


METHODS = pytest.mark.parametrize("method", ["fls", "obs", "magnitude"])


@METHODS
def test_sparsity_is_exact_and_removed_weights_are_exactly_zero_after_every_step(network, images, method):
    operation = surgeon(network, images, method)
    dense = {name: value.clone() for name, value in network.state_dict().items()}
    previous = operation.mask
    for sparsity in (0.3, 0.5, 0.51, 0.8):
        operation.prune(sparsity)
        weights = operation.layout.read(operation.model)
        assert int((~operation.mask).sum()) == int(sparsity * operation.layout.size)
        assert torch.count_nonzero(weights[~operation.mask]) == 0
        assert torch.isfinite(weights).all()
        assert not (operation.mask & ~previous).any()
        previous = operation.mask
    others = dense.keys() - set(operation.layout.names)
    assert all(torch.equal(operation.model.state_dict()[name], dense[name]) for name in others)


@METHODS
def test_nothing_to_remove_leaves_the_network_bit_for_bit(network, images, method):
    operation = surgeon(network, images, method)
    operation.prune(0.0)
    for name, value in operation.model.state_dict().items():
        assert torch.equal(value, network.state_dict()[name])


def test_without_curvature_it_is_magnitude_pruning(network, images):
    operation = surgeon(network, images, "magnitude")
    weights = operation.layout.read(network)
    operation.prune(0.6)
    smallest = weights.abs().argsort(stable=True)[: int(0.6 * len(weights))]
    expected = weights.clone()
    expected[smallest] = 0
    assert torch.equal(operation.layout.read(operation.model), expected)


@pytest.mark.parametrize("method", ["fls", "obs"])
def test_great_damping_ranks_and_leaves_weights_as_magnitude_does(network, images, method):
    operation, plain = (surgeon(network, images, m, gamma=1e6) for m in (method, "magnitude"))
    for one in (operation, plain):
        one.prune(0.6)
    assert (operation.mask != plain.mask).sum() <= 2  # float32 ties
    both = operation.mask & plain.mask
    read = operation.layout.read
    torch.testing.assert_close(read(operation.model)[both], read(plain.model)[both], rtol=1e-3, atol=1e-5)


def test_scaling_loss_and_damping_alike_removes_the_same_weights(network, images):
    one, other = surgeon(network, images, "obs"), surgeon(network, images, "obs", gamma=4e-3, scale=4.0)
    for operation in (one, other):
        operation.prune(0.6)
    assert torch.equal(one.mask, other.mask)


@pytest.mark.parametrize("method", ["fls", "obs"])
def test_compensation_repairs_what_removal_breaks(network, images, method):
    """Loss against the dense network's predictions, with and without the weights' compensation."""
    with torch.no_grad():
        network.fc.weight *= 10  # so that predictions differ between images
        target = network(images[0]).softmax(1)
    labels = torch.multinomial(target, 1, generator=torch.Generator().manual_seed(0))[:, 0]
    operation = surgeon(network, (images[0], labels), method, gamma=1e-4)
    operation.prune(0.5)
    bare = copy.deepcopy(network)
    operation.layout.write(bare, operation.layout.read(network) * operation.mask)

    def divergence(model) -> float:
        return nn.functional.kl_div(model(images[0]).log_softmax(1), target, reduction="batchmean").item()

    assert divergence(operation.model) < 0.5 * divergence(bare)


def test_steps_between_refinements_add_up_to_one_joint_removal(network, images):
    """The down-date by the joint solve is exact: the same final mask gives the same weights however it was reached."""
    operation = surgeon(network, images, "fls", every=10)
    for sparsity in (0.2, 0.4, 0.5):
        operation.prune(sparsity)
    single = surgeon(network, images, "fls", every=10)
    single.prune(0.0)
    single.mask = operation.mask
    single.prune(0.5)
    torch.testing.assert_close(
        single.layout.read(single.model), operation.layout.read(operation.model), rtol=1e-4, atol=1e-6
    )


@METHODS
def test_a_restored_surgeon_goes_on_to_the_same_bits(network, images, method):
    whole, resumed = surgeon(network, images, method), surgeon(network, images, method)
    for sparsity in (0.3, 0.5, 0.6):
        whole.prune(sparsity)
    resumed.restore({name: value.clone() for name, value in whole.state().items()})
    logs = [[operation.prune(s) for s in (0.7, 0.8)] for operation in (whole, resumed)]
    assert logs[0] == logs[1]
    assert torch.equal(whole.mask, resumed.mask)
    assert torch.equal(whole.layout.read(whole.model), resumed.layout.read(resumed.model))


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
        operation = surgeon(model, images, "fls")
        operation.estimator.learning = Learning(0, 0, 1e-3, 4, 5, 5, precondition=True, weights="all")
        operation.prune(0.5)
        masks.append(operation.layout.tensors(operation.mask))
    first, second = ([m[f"blocks.0.conv{k}.weight"] for k in (1, 2)] for m in masks)
    assert (first[0][order] != second[0]).sum() <= 1
    assert (first[1][:, order] != second[1]).sum() <= 1
