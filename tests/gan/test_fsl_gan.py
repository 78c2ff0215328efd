import copy
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from fishbone.gan.fsl_gan import FslGan
from small_game import ANY, DEVICES, EQUAL, PARTS, SETTING, WHOLE, equal, fsl_gan, images
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from fishbone.errors import InputError
from fishbone.gan import account, assemble, losses
from fishbone.gan.batches import noise
from fishbone.privacy.audit import RawImageAudit
from fishbone.split.boundary import Stage
from fishbone.split.planner import Capacity, measure, memory


def play(game, rounds=2):
    return [game.round(number) for number in range(rounds)]


@pytest.mark.parametrize("devices", [[EQUAL], [EQUAL] * 3], ids=["whole", "split"])
def test_one_user_equals_the_centralised_gan_bit_for_bit(devices):
    federated = fsl_gan(parts=[np.arange(60)], devices=[devices])
    centralised = assemble.centralised(SETTING, images())
    assert play(federated) == play(centralised)
    assert equal(federated.generator.state_dict(), centralised.generator.state_dict())
    assert equal(federated.discriminator, centralised.discriminator.state_dict())


def test_cutting_the_discriminators_changes_no_bit():
    split, whole = fsl_gan(devices=DEVICES), fsl_gan(devices=WHOLE)
    assert [len(user.chain.stages) for user in split.users] == [3, 1, 2]
    assert play(split) == play(whole)
    assert equal(split.generator.state_dict(), whole.generator.state_dict())
    assert equal(split.discriminator, whole.discriminator)


class Spy:
    """Keeps the gradients that an optimiser would have used."""

    def __init__(self, module):
        self.parameters = list(module.parameters())

    def step(self):
        self.gradients = [p.grad.clone() for p in self.parameters]

    def zero_grad(self, set_to_none):
        pass


def test_generator_gradient_through_feedback_equals_that_of_the_joint_graph():
    game = fsl_gan(replace(SETTING, dropout=0.0))
    server, users = game.server, game.users
    for module in [server.generator, *(stage.module for user in users for stage in user.chain.stages)]:
        module.double()
    server.optimiser = Spy(server.generator)
    joint = copy.deepcopy(server.generator)
    batches = [user.batch for user in users]

    torch.set_default_dtype(torch.double)
    try:
        for user in users:
            user.images = user.images.double()
        game._step(0)
        generated = joint(noise(sum(batches), SETTING.latent, SETTING.seed, 0))
        loss = 0
        for user, part in zip(users, generated.split(batches), strict=True):
            discriminator = nn.Sequential(*(copy.deepcopy(stage.module) for stage in user.chain.stages))
            loss = loss + float(game.shares[user.name]) * losses.generator(discriminator(part))
        loss.backward()
    finally:
        torch.set_default_dtype(torch.float32)
    for expected, got in zip(joint.parameters(), server.optimiser.gradients, strict=True):
        torch.testing.assert_close(got, expected.grad, rtol=1e-9, atol=1e-14)


def set_weights(user, value):
    for stage in user.chain.stages:
        for parameter in stage.module.parameters():
            parameter.data.fill_(value)


def test_average_of_equal_discriminators_is_each_of_them():
    game = fsl_gan()
    for user in game.users:
        game._send_weights(user)
    assert equal(game._average(0), game.discriminator)


def test_average_is_weighted_by_the_users_images():
    game = fsl_gan()
    for user, value in zip(game.users, (1.0, 2.0, 4.0), strict=True):
        set_weights(user, value)
    expected = np.float32((30 * 1 + 10 * 2 + 20 * 4) / 60)
    assert all((value == expected).all() for value in game._average(0).values())


def test_order_in_which_users_are_given_changes_no_bit():
    reference = fsl_gan()
    play(reference)
    for order in list(permutations(range(3)))[1:3]:
        game = fsl_gan()
        shuffled = FslGan(
            game.server, [game.users[i] for i in order], game.discriminator, game.wire, game.steps
        )  # fmt: skip
        play(shuffled)
        assert equal(shuffled.discriminator, reference.discriminator)
        assert equal(shuffled.generator.state_dict(), reference.generator.state_dict())


def test_users_differ_within_a_round_and_agree_at_its_start():
    game = fsl_gan()
    game.round(0)
    weights = [user.chain.stages[0].module.state_dict()["conv1.0.weight"] for user in game.users]
    assert not torch.equal(weights[0], weights[1])
    for user in game.users:
        game._send_weights(user)
    assert torch.equal(weights[0], weights[1])


def test_devices_and_server_share_no_memory():
    game = fsl_gan()
    game.round(0)
    modules = [game.generator, *(stage.module for user in game.users for stage in user.chain.stages)]
    tensors = [value for module in modules for value in module.state_dict().values()]
    tensors += game.discriminator.values()
    places = [value.data_ptr() for value in tensors if value.numel()]
    assert len(set(places)) == len(places)


def test_no_message_carries_a_real_image():
    pixels = images()
    seen = []
    game = fsl_gan(observer=seen.append)
    play(game)
    kinds = {message.route.kind for message in seen}
    assert kinds == {"activation", "gradient", "generated", "feedback", "weights"}
    audit = RawImageAudit(pixels)
    for message in seen:
        audit(message)
        if message.payload[0].numel() == 64:
            gaps = (message.payload.reshape(-1, 1, 64) - pixels.reshape(1, -1, 64)).abs().amax(2)
            assert gaps.min() > 1e-3
    owners = {user.owner for user in game.users}
    from_server = {m.route.receiver for m in seen if m.route.sender == "server" and m.route.kind != "weights"}
    assert from_server == owners


def test_audit_stops_a_first_stage_that_passes_raw_images_on():
    game = fsl_gan(observer=RawImageAudit(images()))
    user = game.users[0]
    user.chain.stages = (Stage(nn.Identity()), *user.chain.stages[1:])
    with pytest.raises(RuntimeError, match=r"activation '0 learn' from user0/device0 to user0/device1 is a raw image"):
        game.round(0)


def test_raw_images_have_no_route_to_the_server():
    game = fsl_gan()
    with pytest.raises(RuntimeError, match="may go from user0/device0 to server"):
        game.wire.send("activation", "user0/device0", "server", images())
    with pytest.raises(RuntimeError, match="may go from user0/device0 to user1/device0"):
        game.wire.send("activation", "user0/device0", "user1/device0", images())


def test_bytes_are_those_of_the_protocol():
    game = fsl_gan()
    play(game)
    costs = account.fsl_gan(game, SETTING.shape, steps=6)
    assert [user.batch for user in game.users] == [6, 2, 4]
    parameters = sum(value.numel() for value in game.discriminator.values())
    assert costs["parameters_discriminator"] == parameters
    assert costs["bytes_weights"] == 2 * 2 * 3 * 4 * parameters
    assert costs["bytes_generated"] == costs["bytes_feedback"] == 6 * 12 * 64 * 4
    # conv1 gives 4x4x4, conv2 2x2x8 elements an image; three passes an image pair.
    first, second = 4 * 16, 4 * 8
    sizes = [[len(stage.module) for stage in user.chain.stages] for user in game.users]
    assert sizes == [[1, 1, 2], [4], [2, 2]]
    assert costs["bytes_activations"] == 6 * 3 * 4 * (6 * (first + second) + 4 * second)
    assert costs["bytes_gradients"] == costs["bytes_activations"]
    assert costs["bytes_raw_images"] == 0
    sent = sum(value for name, value in costs.items() if name.startswith("bytes_sent"))
    assert sent == costs["bytes_between_devices"] + costs["bytes_server"] == sum(game.wire.traffic.values())


class Flops(TorchDispatchMode):
    """FlopCounterMode without its tracking of modules, which does not allow autograd.grad."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        value = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=value)
        return value


@pytest.mark.parametrize("method", ["fsl_gan", "centralised"])
def test_multiply_accumulates_are_those_that_torch_counts(method):
    setting = replace(SETTING, dropout=0.0)
    game = fsl_gan(setting) if method == "fsl_gan" else assemble.centralised(setting, images())
    with Flops() as counter:
        game.round(0)
    costs = getattr(account, method)(game, setting.shape, setting.steps)
    assert costs["macs_server"] + costs.get("macs_devices", 0) == counter.total // 2


def test_both_methods_see_and_do_the_same_amount():
    federated, centralised = fsl_gan(), assemble.centralised(SETTING, images())
    ours, theirs = account.fsl_gan(federated, (1, 8, 8), 6), account.centralised(centralised, (1, 8, 8), 6)
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


def test_unused_helpers_get_no_route():
    game = fsl_gan(devices=[[Capacity(1e9, ANY), Capacity(1e-9, ANY)], [EQUAL], [EQUAL]])
    assert not any("user0/device1" in (route.sender, route.receiver) for route in game.wire.routes)


def test_quantity_of_images_sets_batches_and_shares():
    game = fsl_gan()
    assert [float(share) for share in game.shares.values()] == [0.5, pytest.approx(1 / 6), pytest.approx(1 / 3)]
    assert [len(user.images) for user in game.users] == [len(part) for part in PARTS]
