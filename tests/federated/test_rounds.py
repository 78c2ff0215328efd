import copy
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from fishbone.federated.aggregate import by_samples, class_half
from fishbone.federated.simulate import Centralised, in_process
from fishbone.federated.transport import Unreachable
from small_federation import (
    EMBEDDING,
    OPTIMISERS,
    SHAPE,
    federate,
    local_training,
    mixed_roles,
    network,
    one_horizontal,
    rounds,
    same,
    samples,
    weights_of,
)
from torch.nn import functional as F

from fishbone.data.partition import dirichlet
from fishbone.errors import InputError
from fishbone.federated.messages import EmbeddingRequest, Train, Update
from fishbone.federated.roles import HorizontalRole, VerticalRole
from fishbone.federated.rounds import Counts, Federation, run
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.evaluate import evaluate
from fishbone.seeding import numpy_generator

DATA = samples(144)
LABELS = DATA[1]


def plain_training(data, local, optimiser, owner, count, reset):
    """Epochs of mini-batches in the textbook loop; ``reset``: a new optimiser at each round."""
    model = network()
    step = OPTIMISERS[optimiser](model.parameters())
    for number in range(1, count + 1):
        if reset:
            step = OPTIMISERS[optimiser](model.parameters())
        for batch in (batch for epoch in local.batches(owner, number, len(data[1])) for batch in epoch):
            step.zero_grad()
            F.cross_entropy(model(data[0][batch]), data[1][batch]).backward()
            step.step()
    return weights_of(model)


class Faulty:
    """A transport that alters what comes from some addresses."""

    def __init__(self, inner, faults):
        self.inner, self.faults = inner, faults

    def request(self, address, message):
        answer = self.inner.request(address, message)
        return self.faults[address](message, answer) if address in self.faults else answer

    def drain_traffic(self):
        return self.inner.drain_traffic()


def vanish(message, answer):
    raise Unreachable


def vanish_in_step_1(message, answer):
    if isinstance(message, EmbeddingRequest) and message.step == 1:
        raise Unreachable
    return answer


def spoil(value):
    def fault(message, answer):
        if not isinstance(answer, Update):
            return answer
        return replace(answer, weights={name: value(weight) for name, weight in answer.weights.items()})

    return fault


def with_faults(roles, faults, local=None):
    transport = in_process(roles, network(), *DATA, local or local_training())
    faulty = Faulty(transport, faults)
    for device in transport._devices.values():
        if hasattr(device, "transport"):
            device.transport = faulty
    return federate(roles, DATA, local_training(), transport=faulty)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_federated_averaging_of_one_client_is_plain_training(optimiser):
    local = local_training(optimiser)
    federation, start = federate([one_horizontal(144)], DATA, local, weighting=by_samples)
    trained = rounds(federation, start, 3)
    assert same(trained, plain_training(DATA, local, optimiser, "h00000", 3, reset=True))
    continued = plain_training(DATA, local, optimiser, "h00000", 3, reset=False)
    assert same(trained, continued) == (optimiser == "sgd")


def test_centralised_training_is_plain_training():
    local = local_training()
    reference = Centralised(network(), *DATA, local)
    trained = rounds(reference, weights_of(network()), 3)
    assert same(trained, plain_training(DATA, local, "sgd", "centralised", 3, reset=False))


def test_harmonic_server_rate_equals_the_published_list_that_is_never_cleared():
    roles = mixed_roles(LABELS, 4, 2)
    federation, start = federate(roles, DATA, local_training(), rate="harmonic")
    published, locals_of = start, defaultdict(list)
    for number in range(1, 6):
        for role in roles:
            # What the member alone would make of the published global weights.
            lone, _ = federate([role], DATA, local_training())
            locals_of[type(role)].append(lone.round(number, published).weights)
        halves = [
            {name: torch.stack([one[name].double() for one in models]).mean(0) for name in start}
            for models in locals_of.values()
        ]
        published = {name: ((halves[0][name] + halves[1][name]) / 2).float() for name in start}
    harmonic = rounds(federation, start, 5)
    for name in start:
        torch.testing.assert_close(harmonic[name], published[name], rtol=1e-5, atol=1e-6)
    corrected, _ = federate(roles, DATA, local_training())
    assert not torch.allclose(rounds(corrected, start, 5)["top.0.weight"], harmonic["top.0.weight"], atol=1e-3)


def test_hybrid_without_groups_is_federated_averaging():
    roles = mixed_roles(LABELS, 6, 0)
    hybrid, start = federate(roles, DATA, local_training(), weighting=class_half)
    averaging, _ = federate(roles, DATA, local_training(), weighting=by_samples)
    assert same(rounds(hybrid, start, 3), rounds(averaging, start, 3))


def test_hybrid_without_devices_is_the_mean_of_the_groups():
    roles = mixed_roles(LABELS, 0, 3)
    hybrid, start = federate(roles, DATA, local_training())
    alone = [federate([role], DATA, local_training())[0].round(1, start).weights for role in roles]
    mean = hybrid.round(1, start).weights
    for name in start:
        expected = torch.stack([one[name].double() for one in alone]).mean(0).float()
        torch.testing.assert_close(mean[name], expected, rtol=1e-6, atol=1e-7)


def test_full_batch_single_step_federation_is_a_centralised_step_under_any_skew():
    parts = dirichlet(LABELS.numpy(), 5, 0.3, numpy_generator(1))
    roles = [HorizontalRole(f"h{i:05d}", part) for i, part in enumerate(parts)]
    local = local_training(epochs=1, batch=1000)
    federation, start = federate(roles, DATA, local, weighting=by_samples)
    central = rounds(Centralised(network(), *DATA, local), start, 4)
    federated = rounds(federation, start, 4)
    assert len({len(part) for part in parts}) > 1
    for name in start:
        torch.testing.assert_close(federated[name], central[name], rtol=1e-5, atol=1e-6)


def test_order_of_members_does_not_change_a_bit():
    roles = mixed_roles(LABELS, 4, 3)
    federation, start = federate(roles, DATA, local_training())
    shuffled = [roles[i] for i in numpy_generator(5).permutation(len(roles))]
    other, _ = federate(shuffled, DATA, local_training())
    first, second = federation.round(1, start), other.round(1, start)
    assert same(first.weights, second.weights)
    assert first.train_loss == second.train_loss


@pytest.mark.parametrize("parties", [1, 2, 3])
def test_bytes_are_those_of_the_formula(parties):
    epochs, horizontal, vertical = 2, 4, 2
    roles = mixed_roles(LABELS, horizontal, vertical, parties)
    federation, start = federate(roles, DATA, local_training(epochs=epochs), parties)
    parameters = sum(value.numel() for value in start.values())
    counts = federation.round(1, start).counts + federation.round(2, start).counts
    shared = sum(len(role.samples) for role in roles if isinstance(role, VerticalRole))
    # Weights go out and come back; a shared sample costs an embedding up and its gradient down in each epoch.
    assert counts.bytes_horizontal == 2 * horizontal * (2 * 4 * parameters)
    assert counts.bytes_vertical_weights == 2 * vertical * (2 * 4 * parameters)
    assert counts.bytes_vertical_embeddings == 2 * parties * EMBEDDING * (4 + 4) * epochs * shared
    assert (counts.members_unreachable, counts.members_rejected) == (0, 0)


@pytest.mark.parametrize("fault", [vanish, vanish_in_step_1], ids=["absent", "leaves in mid-session"])
def test_a_group_with_a_missing_party_is_left_out_as_if_it_were_not_there(fault):
    roles = mixed_roles(LABELS, 4, 3)
    broken, start = with_faults(roles, {"v00001/party1": fault})
    without, _ = federate([role for role in roles if role.id != "v00001"], DATA, local_training())
    result = broken.round(1, start)
    assert same(result.weights, without.round(1, start).weights)
    assert result.counts.members_unreachable == 1
    # The next round is a new session of the parties that are still there.
    assert same(broken.round(2, result.weights).weights, without.round(2, result.weights).weights)


def test_an_address_that_nobody_has_is_unreachable():
    roles = mixed_roles(LABELS, 3, 0)
    federation, start = federate(roles, DATA, local_training())
    wider = Federation([*roles, one_horizontal(5, "h00009")], federation.transport, class_half, lambda number: 1.0)
    result = wider.round(1, start)
    assert result.counts.members_unreachable == 1
    assert same(result.weights, federation.round(1, start).weights)


@pytest.mark.parametrize("member", ["h00002", "v00001/party0", "v00001/labels"])
@pytest.mark.parametrize(
    "value",
    [lambda weight: weight * float("nan"), lambda weight: weight / 0, lambda weight: weight[:1]],
    ids=["NaN", "infinite", "shape"],
)
def test_a_spoilt_update_is_rejected_counted_and_has_no_influence(member, value):
    roles = mixed_roles(LABELS, 4, 3)
    broken, start = with_faults(roles, {member: spoil(value)})
    result = broken.round(1, start)
    without, _ = federate([role for role in roles if role.id != member.split("/")[0]], DATA, local_training())
    assert same(result.weights, without.round(1, start).weights)
    assert result.counts.members_rejected == 1


def test_a_round_without_any_answer_fails():
    roles = mixed_roles(LABELS, 1, 1)
    broken, start = with_faults(roles, {"h00000": vanish, "v00000/labels": spoil(lambda weight: weight * np.nan)})
    with pytest.raises(InputError, match="1 members unreachable, 1 rejected, none left"):
        broken.round(1, start)


def test_devices_do_not_write_into_the_weights_they_were_sent():
    federation, start = federate(mixed_roles(LABELS, 2, 2), DATA, local_training())
    before = copy.deepcopy(start)
    federation.round(1, start)
    assert same(start, before)


def test_an_update_stays_as_it_was_when_its_device_trains_on():
    federation, start = federate(mixed_roles(LABELS, 1, 1), DATA, local_training())
    first = federation.transport.request("h00000", Train(1, start)).weights
    before = copy.deepcopy(first)
    federation.transport.request("h00000", Train(2, first))
    assert same(first, before)


def validator():
    model = network()

    def validate(weights):
        model.load_state_dict(weights)
        return evaluate(model, *DATA)

    return validate


def test_resuming_equals_never_having_stopped(tmp_path):
    federation, start = federate(mixed_roles(LABELS, 3, 2), DATA, local_training())
    kept = Checkpoint(tmp_path / "c.safetensors", {"work": 1})
    whole = run(start, 5, federation.round, validator(), Checkpoint(None, {}))

    def dies_in_round_4(number, weights):
        if number == 4:
            raise KeyboardInterrupt
        return federation.round(number, weights)

    with pytest.raises(KeyboardInterrupt):
        run(start, 5, dies_in_round_4, validator(), kept)
    advanced = []
    fresh, _ = federate(mixed_roles(LABELS, 3, 2), DATA, local_training())
    resumed = run(start, 5, fresh.round, validator(), kept, lambda row: advanced.append(row["step"]))
    assert advanced == [4, 5]
    assert same(resumed.weights, whole.weights)
    assert resumed.history == whole.history
    assert resumed.counts == whole.counts


def test_history_has_a_row_per_round_with_the_bytes_so_far():
    federation, start = federate(mixed_roles(LABELS, 3, 2), DATA, local_training())
    progress = run(start, 3, federation.round, validator(), Checkpoint(None, {}))
    assert [row["step"] for row in progress.history] == [1, 2, 3]
    per_round = progress.history[0]["bytes"]
    assert [row["bytes"] for row in progress.history] == [per_round, 2 * per_round, 3 * per_round]
    assert progress.counts.bytes_horizontal + progress.counts.bytes_vertical == 3 * per_round


def test_every_method_learns_what_can_be_learnt():
    inputs = DATA[0].clone()
    inputs[torch.arange(144), 0, 2, LABELS * 2] += 6
    for mix in ((6, 0), (3, 3), (0, 6)):
        roles = mixed_roles(LABELS, *mix)
        federation, start = federate(roles, (inputs, LABELS), local_training())
        model = network()
        model.load_state_dict(rounds(federation, start, 15))
        assert evaluate(model, inputs, LABELS)["accuracy"] > 0.9
    assert inputs.shape[1:] == SHAPE


def test_counts_add_up_by_name():
    assert Counts(1, 2, 3, 4, 5) + Counts(10, 20, 30, 40, 50) == Counts(11, 22, 33, 44, 55)
    assert Counts(1, 2, 3).bytes_vertical == 5
