import copy
from itertools import combinations, pairwise

import pytest
import torch
from small_chain import ADAM, Chain, framed
from torch import nn

from fishbone.gan import losses
from fishbone.gan.owner import PASSES
from fishbone.nn.dcgan import Discriminator
from fishbone.nn.dropout import key_dropout
from fishbone.split.chain import cut, segments
from fishbone.split.messages import HELPER, OWNER
from fishbone.wire.memory import Memory

SHAPE = [1, 28, 28]


def discriminator(dropout=0.3):
    torch.manual_seed(0)
    return Discriminator(SHAPE, 4, dropout, seed=5)


def single_layers():
    """The same network as eleven layers without blocks."""
    layers = [layer for block in discriminator() for layer in block]
    return nn.Sequential(*layers)


def sizes_of(layers):
    for count in range(layers):
        for points in combinations(range(1, layers), count):
            yield tuple(b - a for a, b in pairwise((0, *points, layers)))


def train_whole(network, batches):
    optimiser, trail = ADAM.make(network.parameters()), []
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
        trail += [loss.item(), fooled.item(), leaf.grad]
    return trail


def train_chain(chain, batches):
    trail = []
    for step, (real, generated) in enumerate(batches):
        learnt = chain.ask(step, "learn", torch.cat([real, generated]))
        judged = chain.ask(step, "feedback", generated)
        trail += [learnt.loss, judged.loss, judged.value]
    return trail


def batches(steps=5, count=3):
    generator = torch.Generator().manual_seed(1)
    return [tuple(torch.randn(2, count, *SHAPE, generator=generator)) for _ in range(steps)]


def assert_equal_training(network, sizes, carrier=Memory):
    chain = Chain(network, sizes, PASSES, carrier)
    chain.begin(network.state_dict())
    expected, got = train_whole(network, batches()), train_chain(chain, batches())
    assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(expected, got, strict=True))
    weights, whole = chain.finish(), network.state_dict()
    assert weights.keys() == whole.keys()
    assert all(torch.equal(weights[name], whole[name]) for name in whole)


@pytest.mark.parametrize("sizes", list(sizes_of(4)), ids=str)
def test_split_training_equals_whole_bit_for_bit(sizes):
    assert_equal_training(discriminator(), sizes)


@pytest.mark.parametrize("sizes", [(1,) * 11, (4, 7), (8, 3), (4, 4, 3), (2, 1, 5, 3)], ids=str)
def test_cuts_inside_blocks_equal_whole_bit_for_bit(sizes):
    assert_equal_training(single_layers(), sizes)


@pytest.mark.parametrize("sizes", [(4,), (1, 1, 2)], ids=str)
def test_split_training_over_frames_equals_whole_bit_for_bit(sizes):
    assert_equal_training(discriminator(), sizes, framed)


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


def sent(sizes):
    chain = Chain(discriminator(), sizes, PASSES)
    chain.begin(discriminator().state_dict())
    chain.traffic.bytes.clear()
    chain.ask(0, "feedback", torch.randn(3, *SHAPE))
    return chain.traffic.bytes


def test_bytes_on_the_wire_are_those_of_activations_and_their_gradients():
    image, first, second = 4 * 3 * 28 * 28, 4 * 3 * 14 * 14 * 4, 4 * 3 * 7 * 7 * 8
    assert sent((1, 1, 2)) == {
        ("feeder", "device0", "activation"): image,
        ("device0", "device1", "activation"): first,
        ("device1", "device2", "activation"): second,
        ("device2", "device1", "gradient"): second,
        ("device1", "device0", "gradient"): first,
        ("device0", "feeder", "gradient"): image,
    }


def test_one_device_asks_nobody():
    assert {(sender, receiver) for sender, receiver, _ in sent((4,))} == {("feeder", "device0"), ("device0", "feeder")}


def test_segments_know_their_neighbours_and_who_owns_the_data():
    placed = {"a": 1, "b": 1, "c": 2}
    found = segments(discriminator(), placed, "u", PASSES)
    assert [(one.role, one.before, one.after) for one in found.values()] == [
        (OWNER, None, "b"),
        (HELPER, "a", "c"),
        (HELPER, "b", None),
    ]
    fed = segments(discriminator(), placed, "u", PASSES, feeder="f")
    assert (fed["a"].role, fed["a"].before) == (HELPER, "f")


@pytest.mark.parametrize("sizes", [(4, 0), (2, 1), (5,)])
def test_sizes_that_do_not_cut_the_network_are_refused(sizes):
    with pytest.raises(ValueError, match="do not cut 4 layers"):
        cut(discriminator(), sizes)
