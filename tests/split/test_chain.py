import copy
from itertools import combinations, pairwise

import pytest
import torch
from fishbone.gan.user import KeyedStage
from fishbone.split.wire import Route, Wire
from torch import nn
from torch.nn import functional as F

from fishbone.gan import losses
from fishbone.nn.dcgan import Discriminator, key_dropout
from fishbone.split.boundary import Stage
from fishbone.split.chain import Chain, cut, routes

SHAPE = [1, 28, 28]


def discriminator(dropout=0.3):
    torch.manual_seed(0)
    return Discriminator(SHAPE, 4, dropout, seed=5)


def single_layers():
    """The same network as eleven layers without blocks."""
    layers = [layer for block in discriminator() for layer in block]
    return nn.Sequential(*layers)


def adam(module):
    parameters = list(module.parameters())
    return torch.optim.Adam(parameters, 1e-3, (0.5, 0.999)) if parameters else None


def split(network, sizes, wire=None):
    names = [f"device{i}" for i in range(len(sizes))]
    stages = [KeyedStage(part, adam(part), "u") for part in cut(network, sizes)]
    return Chain(names, stages, wire or Wire(routes(names)))


def sizes_of(layers):
    for count in range(layers):
        for points in combinations(range(1, layers), count):
            yield tuple(b - a for a, b in pairwise((0, *points, layers)))


def train_whole(network, batches):
    optimiser, trail = adam(network), []
    for step, (real, generated) in enumerate(batches):
        key_dropout(network, "u", f"{step} learn")
        loss = losses.discriminator(network(torch.cat([real, generated])))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        leaf = generated.clone().requires_grad_()
        key_dropout(network, "u", f"{step} feedback")
        fooled = losses.generator(network(leaf))
        fooled.backward()
        optimiser.zero_grad()
        trail += [loss.detach(), fooled.detach(), leaf.grad]
    return trail


def train_chain(chain, batches):
    trail = []
    for step, (real, generated) in enumerate(batches):
        logits = chain.forward(torch.cat([real, generated]), f"{step} learn", input_gradient=False).requires_grad_()
        loss = losses.discriminator(logits)
        loss.backward()
        chain.backward(logits.grad, f"{step} learn")
        chain.step()
        logits = chain.forward(generated, f"{step} feedback").requires_grad_()
        fooled = losses.generator(logits)
        fooled.backward()
        feedback = chain.backward(logits.grad, f"{step} feedback", weight_gradients=False)
        trail += [loss.detach(), fooled.detach(), feedback]
    return trail


def batches(steps=5, count=3):
    generator = torch.Generator().manual_seed(1)
    return [tuple(torch.randn(2, count, *SHAPE, generator=generator)) for _ in range(steps)]


def assert_equal_training(network, sizes):
    chain = split(network, sizes)
    expected, got = train_whole(network, batches()), train_chain(chain, batches())
    assert all(map(torch.equal, expected, got))
    weights = {name: value for stage in chain.stages for name, value in stage.module.state_dict().items()}
    whole = network.state_dict()
    assert weights.keys() == whole.keys()
    assert all(torch.equal(weights[name], whole[name]) for name in whole)


@pytest.mark.parametrize("sizes", list(sizes_of(4)), ids=str)
def test_split_training_equals_whole_bit_for_bit(sizes):
    assert_equal_training(discriminator(), sizes)


@pytest.mark.parametrize("sizes", [(1,) * 11, (4, 7), (8, 3), (4, 4, 3), (2, 1, 5, 3)], ids=str)
def test_cuts_inside_blocks_equal_whole_bit_for_bit(sizes):
    assert_equal_training(single_layers(), sizes)


@pytest.mark.parametrize("micro_batches", [1, 2, 4, 8])
def test_gradients_of_micro_batches_add_up(micro_batches):
    images = torch.randn(8, *SHAPE, generator=torch.Generator().manual_seed(2))
    network = discriminator(dropout=0)
    F.softplus(network(images)).mean().backward()
    chain = split(network, (1, 2, 1))
    for index, part in enumerate(images.chunk(micro_batches)):
        logits = chain.forward(part, f"{index}").requires_grad_()
        (F.softplus(logits).sum() / len(images)).backward()
        chain.backward(logits.grad, f"{index}")
    gradients = [p.grad for stage in chain.stages for p in stage.module.parameters()]
    for whole, mine in zip(network.parameters(), gradients, strict=True):
        assert (whole.grad - mine).abs().max() <= 2e-6 * whole.grad.abs().max() + 1e-9


def tiny():
    torch.manual_seed(3)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3), nn.Tanh())
    return network.double()


def test_chain_gradients_equal_central_differences_in_float64():
    stages = [Stage(part) for part in cut(tiny(), (1, 2, 2))]
    chain = Chain("abc", stages, Wire(routes("abc")))
    inputs = torch.randn(2, 1, 4, 4, dtype=torch.double)
    received = chain.backward(2 * chain.forward(inputs))
    parameters = [p for stage in stages for p in stage.module.parameters()]

    def loss():
        with torch.no_grad():
            return stages[2].module(stages[1].module(stages[0].module(inputs))).square().sum().item()

    for tensor, gradient in [(inputs, received), *((p.data, p.grad) for p in parameters)]:
        flat = tensor.view(-1)
        for index in range(len(flat)):
            middle = flat[index].item()
            values = []
            for shift in (1e-6, -1e-6):
                flat[index] = middle + shift
                values.append(loss())
            flat[index] = middle
            assert gradient.view(-1)[index].item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6, abs=1e-8)


def test_each_device_holds_its_own_copy_of_its_layers_only():
    network = discriminator()
    parts = cut(network, (1, 1, 2))
    names = [set(part.state_dict()) for part in parts]
    assert set.union(*names) == set(network.state_dict())
    assert sum(map(len, names)) == len(network.state_dict())
    before = copy.deepcopy(network.state_dict())
    for part in parts:
        for parameter in part.parameters():
            parameter.data.zero_()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_bytes_on_the_wire_are_those_of_activations_and_their_gradients():
    chain = split(discriminator(), (1, 1, 2))
    chain.backward(torch.ones_like(chain.forward(torch.randn(3, *SHAPE))))
    first, second = 4 * 3 * 14 * 14 * 4, 4 * 3 * 7 * 7 * 8
    assert chain.wire.traffic == {
        Route("activation", "device0", "device1"): first,
        Route("activation", "device1", "device2"): second,
        Route("gradient", "device2", "device1"): second,
        Route("gradient", "device1", "device0"): first,
    }


def test_one_device_sends_nothing():
    chain = split(discriminator(), (4,))
    chain.backward(torch.ones_like(chain.forward(torch.randn(3, *SHAPE))))
    assert not chain.wire.traffic


@pytest.mark.parametrize("sizes", [(4, 0), (2, 1), (5,)])
def test_sizes_that_do_not_cut_the_network_are_refused(sizes):
    with pytest.raises(ValueError, match="do not cut 4 layers"):
        cut(discriminator(), sizes)
