import copy
from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import permutations

import numpy as np
import pytest
import torch
from small_game import (
    ANY,
    DEVICES,
    EQUAL,
    PARTS,
    SETTING,
    WHOLE,
    Recorder,
    among,
    centralised,
    end,
    equal,
    fsl_gan,
    images,
    play,
    population,
)
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import fishbone.gan.messages
import fishbone.split.messages
from fishbone.errors import Forbidden, InputError
from fishbone.gan import losses
from fishbone.gan.batches import noise
from fishbone.gan.in_process import over_users
from fishbone.gan.messages import POLICY, SERVER
from fishbone.gan.method import User
from fishbone.gan.methods.fsl_gan import FslGan
from fishbone.nn.optimiser import Optimiser
from fishbone.nn.pack import under
from fishbone.privacy.audit import RawImageAudit, RawImageFound
from fishbone.split.messages import HELPER, OWNER, Activation
from fishbone.split.planner import Capacity, measure, memory
from fishbone.wire.memory import Memory
from fishbone.wire.message import Envelope
from fishbone.wire.testing import check_complete


@pytest.mark.parametrize("devices", [[EQUAL], [EQUAL] * 3], ids=["whole", "split"])
def test_one_user_equals_the_centralised_gan_bit_for_bit(devices):
    federated, whole = fsl_gan(parts=[np.arange(60)], devices=[devices]), centralised()
    assert play(federated) == play(whole)
    assert equal(federated.generator.state_dict(), whole.generator.state_dict())
    assert equal(federated.rounds.method.weights, whole.discriminator.state_dict())


def test_cutting_the_discriminators_changes_no_bit():
    split, whole = fsl_gan(devices=DEVICES), fsl_gan(devices=WHOLE)
    assert [len(user.parts) for user in split.rounds.users] == [3, 1, 2]
    assert play(split) == play(whole)
    assert equal(end(split), end(whole))


def test_messages_as_frames_change_no_bit():
    plain, framed = fsl_gan(), fsl_gan(carrier=partial(Memory, through_codec=True))
    assert play(plain) == play(framed)
    assert equal(end(plain), end(framed))
    assert plain.traffic.bytes == framed.traffic.bytes


class Spy:
    """Keeps the gradients that an optimiser would have used."""

    def __init__(self, module):
        self.parameters = list(module.parameters())

    def step(self):
        self.gradients = [p.grad.clone() for p in self.parameters]

    def zero_grad(self, set_to_none):
        pass


@pytest.fixture
def in_double():
    torch.set_default_dtype(torch.double)
    yield
    torch.set_default_dtype(torch.float32)


def test_generator_gradient_through_feedback_equals_that_of_the_joint_graph(in_double):
    setting, seen = replace(SETTING, dropout=0.0, steps=1), Recorder()
    people = replace(population(observers=[seen]), images=images().double())
    generator, discriminator = setting.networks()
    game = over_users(setting, people, generator, discriminator, FslGan(discriminator.state_dict()), "rate")
    server, users = game.rounds.server, game.rounds.users
    server.optimiser = Spy(server.generator)
    joint = copy.deepcopy(server.generator)
    game.round(1)

    judges = seen.weights("update", "sender")  # the discriminators, stepped once, that gave the feedback
    batches = [user.batch for user in users]
    generated = joint(noise(sum(batches), setting.latent, setting.seed, 0))
    loss = 0
    for user, part in zip(users, generated.split(batches), strict=True):
        discriminator.load_state_dict(judges[user.name])
        loss = loss + user.images / 60 * losses.generator(copy.deepcopy(discriminator)(part))
    loss.backward()
    for expected, got in zip(joint.parameters(), server.optimiser.gradients, strict=True):
        torch.testing.assert_close(got, expected.grad, rtol=1e-9, atol=1e-14)


def owners(*counts):
    return [User(f"user{index}", count, 1, ()) for index, count in enumerate(counts)]


def test_average_of_equal_discriminators_is_each_of_them():
    weights = SETTING.networks()[1].state_dict()
    after = FslGan(weights).collect({user: copy.deepcopy(weights) for user in owners(30, 10, 20)})
    assert equal(after.weights, weights)


def test_average_is_weighted_by_the_users_images():
    users = owners(30, 10, 20)
    values = zip(users, (1.0, 2.0, 4.0), strict=True)
    after = FslGan({"w": torch.zeros(3)}).collect({user: {"w": torch.full((3,), value)} for user, value in values})
    assert after.weights["w"].tolist() == [np.float32((30 * 1 + 10 * 2 + 20 * 4) / 60)] * 3
    assert after.weights["w"].dtype == torch.float32


def test_shares_are_those_of_the_users_that_are_there():
    first, _, third = owners(30, 10, 20)
    assert FslGan({}).shares([first, third]) == {first: Fraction(3, 5), third: Fraction(2, 5)}


def test_order_in_which_users_are_given_changes_no_bit():
    reference = fsl_gan()
    play(reference)
    for order in list(permutations(["user0", "user1", "user2"]))[1:3]:
        game = among(fsl_gan(), order)
        play(game)
        assert equal(end(game), end(reference))


def test_users_differ_within_a_round_and_agree_at_its_start():
    seen = Recorder()
    fsl_gan(observers=[seen]).round(1)
    sent, returned = seen.weights("begin", "receiver"), seen.weights("update", "sender")
    assert equal(sent["user0"], sent["user1"])
    assert equal(sent["user0"], sent["user2"])
    assert not torch.equal(returned["user0"]["conv1.0.weight"], returned["user1"]["conv1.0.weight"])


def test_devices_and_server_share_no_memory():
    game = fsl_gan()
    play(game)
    tensors = game.pack()[0]
    assert sum(name.startswith("party/user0/device1/2/") for name in tensors) > 0
    places = [value.data_ptr() for value in tensors.values() if value.numel()]
    assert len(set(places)) == len(places)


def test_no_message_carries_a_real_image():
    pixels, seen = images(), Recorder()
    play(fsl_gan(observers=[RawImageAudit(pixels), seen]))
    for envelope in seen.envelopes:
        for _, tensor in envelope.message.tensors():
            if tensor.numel() and tensor[0].numel() == 64:
                gaps = (tensor.reshape(-1, 1, 64) - pixels.reshape(1, -1, 64)).abs().amax(2)
                assert gaps.min() > 1e-3
    assert {one.receiver for one in seen.of("generated")} == {f"user{index}/device0" for index in range(3)}


def test_policy_is_what_a_game_needs_and_no_more():
    seen = Recorder()
    game = fsl_gan(observers=[seen])
    play(game)
    diverging = fsl_gan(observers=[seen])
    next(reversed(diverging.rounds.method.weights.values())).fill_(3e38)  # the last parties' outputs overflow
    with pytest.raises(InputError):
        play(diverging)
    check_complete(POLICY, seen.envelopes, game.memory.roles, fishbone.gan.messages, fishbone.split.messages)


def test_audit_stops_a_first_stage_that_passes_raw_images_on():
    generator, discriminator = SETTING.networks()
    leaking = nn.Sequential()
    for name, layer in [("copy", nn.Identity()), *discriminator.named_children()]:
        leaking.add_module(name, layer)
    slow = [[Capacity(1e-9, ANY), EQUAL], [EQUAL], [EQUAL]]
    people = population(devices=slow, observers=[RawImageAudit(images())])
    game = over_users(SETTING, people, generator, leaking, FslGan(leaking.state_dict()), "rate")
    with pytest.raises(RawImageFound, match=r"activation from user0/device0 to user0/device1 carries a raw image"):
        game.round(1)


@pytest.mark.parametrize("receiver", [SERVER, "user1/device0"])
def test_raw_images_have_no_way_out_of_the_users_devices(receiver):
    roles = {SERVER: SERVER, "user0/device0": OWNER, "user0/device1": HELPER, "user1/device0": OWNER}
    with pytest.raises(Forbidden):
        POLICY.check(Envelope("user0/device0", receiver, 0, Activation(0, "learn", images())), roles)
    POLICY.check(Envelope("user0/device0", "user0/device1", 0, Activation(0, "learn", images())), roles)


def test_bytes_are_those_of_the_protocol():
    game = fsl_gan()
    play(game)
    costs = game.costs(2)
    assert [user.batch for user in game.rounds.users] == [6, 2, 4]
    parameters = sum(value.numel() for value in game.discriminator.parameters())
    assert costs["parameters_discriminator"] == parameters
    assert costs["bytes_weights"] == 2 * 2 * 3 * 4 * parameters
    assert costs["bytes_generated"] == costs["bytes_feedback"] == 6 * 12 * 64 * 4
    # conv1 gives 4x4x4, conv2 2x2x8 elements an image; three passes an image pair.
    first, second = 4 * 16, 4 * 8
    sizes = [[part.layers for part in user.parts] for user in game.rounds.users]
    assert sizes == [[1, 1, 2], [4], [2, 2]]
    assert costs["bytes_activations"] == 6 * 3 * 4 * (6 * (first + second) + 4 * second)
    assert costs["bytes_gradients"] == costs["bytes_activations"]
    assert costs["bytes_raw_images"] == 0
    sent = sum(value for name, value in costs.items() if name.startswith("bytes_sent"))
    assert sent == costs["bytes_between_devices"] + costs["bytes_server"] == sum(game.traffic.bytes.values())


def test_costs_of_each_device_are_those_of_what_it_holds_and_sends():
    game, sent = fsl_gan(), Counter()
    play(game)
    costs = game.costs(2)
    for key, size in game.traffic.bytes.items():
        sent[key.sender] += size
    weights = game.discriminator.state_dict()
    for part in (part for user in game.rounds.users for part in user.parts):
        name = part.address.replace("/", "_")
        assert costs[f"bytes_sent_{name}"] == sent[part.address] > 0
        assert costs[f"parameters_{name}"] == sum(weights[weight].numel() for weight in part.names) > 0
    assert costs["bytes_sent_server"] == sent[SERVER]
    # 6 steps of 4 pairs of images; 200 weights for each of 16 outputs of conv3, and 16 weights of the dense layer.
    assert costs["macs_user2_device1"] == 6 * 4 * 8 * (200 * 16 + 16)


def test_in_one_place_the_images_cross_once_and_nothing_else_does():
    costs = centralised().costs(2)
    assert costs["images"] == 2 * 3 * 12
    assert costs["bytes_raw_images"] == 60 * 64
    assert costs["bytes_between_devices"] == costs["bytes_server"] == 0


def test_the_seed_draws_the_weights_that_it_always_drew_and_adam_is_the_papers():
    generator, discriminator = SETTING.networks()
    first = [next(network.parameters()).flatten()[:2].tolist() for network in (generator, discriminator)]
    assert first == [pytest.approx([0.219603, -0.186380], abs=1e-6), pytest.approx([0.131413, 0.014695], abs=1e-6)]
    assert SETTING.adam(0.25) == Optimiser("adam", 0.25, betas=(0.5, 0.999), eps=1e-7)


class Flops(TorchDispatchMode):
    """FlopCounterMode without its tracking of modules, which does not allow autograd.grad."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        value = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=value)
        return value


@pytest.mark.parametrize("build", [fsl_gan, centralised])
def test_multiply_accumulates_are_those_that_torch_counts(build):
    game = build(replace(SETTING, dropout=0.0))
    with Flops() as counter:
        game.round(1)
    costs = game.costs(1)
    assert costs["macs_server"] + costs.get("macs_devices", 0) == counter.total // 2


def test_both_methods_see_and_do_the_same_amount():
    game = fsl_gan()
    play(game)
    ours, theirs = game.costs(2), centralised().costs(2)
    for name in ("images", "parameters_generator", "parameters_discriminator"):
        assert ours[name] == theirs[name]
    assert ours["macs_server"] + ours["macs_devices"] == theirs["macs_server"]


def test_devices_without_enough_memory_are_refused():
    with pytest.raises(InputError, match="fits the memories"):
        fsl_gan(devices=[[Capacity(1.0, 100)], [EQUAL], [EQUAL]])


def test_placement_counts_real_and_generated_images_as_held_at_once():
    layers = measure(SETTING.networks()[1], SETTING.shape)
    needed = memory(layers, 2 * 6)
    fsl_gan(devices=[[Capacity(1.0, needed)], [EQUAL], [EQUAL]])
    with pytest.raises(InputError, match="fits the memories"):
        fsl_gan(devices=[[Capacity(1.0, needed - 1)], [EQUAL], [EQUAL]])


def test_unused_helpers_are_no_parties():
    seen = Recorder()
    game = fsl_gan(devices=[[Capacity(1e9, ANY), Capacity(1e-9, ANY)], [EQUAL], [EQUAL]], observers=[seen])
    play(game)
    assert "user0/device1" not in game.memory.roles
    assert {one.receiver for one in seen.envelopes} == {SERVER, *(f"user{index}/device0" for index in range(3))}


def test_quantity_of_images_sets_batches_and_shares():
    game = fsl_gan()
    shares = game.rounds.method.shares(game.rounds.users)
    assert list(shares.values()) == [Fraction(1, 2), Fraction(1, 6), Fraction(1, 3)]
    assert [user.images for user in game.rounds.users] == [len(part) for part in PARTS]


@dataclass(frozen=True, eq=False)
class Swap:
    """As MD-GAN (Hardy et al. 2019, Algorithm 1): equal feedback, and discriminators that move between users."""

    discriminators: dict

    def discriminator(self, user):
        return self.discriminators[user]

    def shares(self, users):
        return {user: Fraction(1, len(users)) for user in users}

    def collect(self, weights):
        users = list(weights)
        moved = zip(users, [*users[1:], users[0]], strict=True)
        return Swap(self.discriminators | {to.name: weights[source] for source, to in moved})

    def pack(self):
        pairs = self.discriminators.items()
        return {f"swap/{user}/{name}": value for user, weights in pairs for name, value in weights.items()}

    def unpack(self, tensors):
        return Swap({user: under(f"swap/{user}/", tensors) for user in self.discriminators})


def test_method_that_swaps_discriminators_needs_nothing_of_the_engine():
    seen, (generator, discriminator) = Recorder(), SETTING.networks()
    method = Swap({f"user{index}": discriminator.state_dict() for index in range(3)})
    game = over_users(SETTING, population(observers=[seen]), generator, discriminator, method, "rate")
    game.round(1)
    returned = seen.weights("update", "sender")
    seen.envelopes.clear()
    game.round(2)
    begun = seen.weights("begin", "receiver")
    for source, to in (("user0", "user1"), ("user1", "user2"), ("user2", "user0")):
        assert equal(begun[to], returned[source])
    assert not equal(returned["user0"], returned["user1"])
    assert Counter(absence.status for absence in game.rounds.absences) == {}
