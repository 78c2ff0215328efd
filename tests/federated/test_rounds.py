import copy
from collections import defaultdict
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from altered import Altered
from small_federation import (
    EMBEDDING,
    OPTIMISERS,
    SHAPE,
    federate,
    local_work,
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
from fishbone.errors import InputError, Unreachable
from fishbone.federated.counts import Counts
from fishbone.federated.engines.in_process import one_machine
from fishbone.federated.messages import Diverged, Done, Embedding, EmbeddingRequest, Update
from fishbone.federated.methods.centralised import Centralised, everything
from fishbone.federated.methods.fedavg import FedAvg
from fishbone.federated.methods.hovefl import HoVeFL
from fishbone.federated.roles import HorizontalRole, VerticalRole
from fishbone.federated.rounds import Federation
from fishbone.nn.evaluate import evaluate
from fishbone.seeding import numpy_generator
from fishbone.wire.message import Refusal

DATA = samples(144)
LABELS = DATA[1]


def plain_training(data, work, optimiser, owner, count, reset):
    """Epochs of mini-batches in the textbook loop; ``reset``: a new optimiser at each round."""
    model = network()
    step = OPTIMISERS[optimiser].make(model.parameters())
    for number in range(1, count + 1):
        if reset:
            step = OPTIMISERS[optimiser].make(model.parameters())
        for batch in (batch for epoch in work.batches(owner, number, len(data[1])) for batch in epoch):
            step.zero_grad()
            F.cross_entropy(model(data[0][batch]), data[1][batch]).backward()
            step.step()
    return weights_of(model)


def vanish(address):
    """Whatever comes from there is lost."""

    def alter(envelope):
        if envelope.sender == address:
            raise Unreachable(f"nobody answers at {address}")
        return envelope.message

    return alter


def vanish_in_step_1(address):
    def alter(envelope):
        message = envelope.message
        if isinstance(message, EmbeddingRequest) and (envelope.receiver, message.step) == (address, 1):
            raise Unreachable(f"nobody answers at {address}")
        return message

    return alter


def answer_instead(address, kind, other):
    """Messages of a kind from there are others."""

    def alter(envelope):
        message = envelope.message
        return other(message) if envelope.sender == address and isinstance(message, kind) else message

    return alter


def spoil(address, value):
    def other(update):
        return replace(update, weights={name: value(weight) for name, weight in update.weights.items()})

    return answer_instead(address, Update, other)


def altered(roles, *alterations, work=None):
    return federate(roles, DATA, work or local_work(), carrier=partial(Altered, alterations=alterations))


def without(roles, member):
    return federate([role for role in roles if role.id != member], DATA, local_work())[0]


def centralised(data, work):
    model, role = network(), everything(len(data[1]))
    federation = Federation([role], one_machine(role, model, *data), Centralised(), work)
    return federation, federation.start(weights_of(model))


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_federated_averaging_of_one_client_is_plain_training(optimiser):
    work = local_work(optimiser)
    federation, start = federate([one_horizontal(144)], DATA, work, method=FedAvg())
    trained = rounds(federation, start, 3)
    assert same(trained, plain_training(DATA, work, optimiser, "h00000", 3, reset=True))
    continued = plain_training(DATA, work, optimiser, "h00000", 3, reset=False)
    assert same(trained, continued) == (optimiser == "sgd")


def test_centralised_training_is_plain_training():
    work = local_work()
    trained = rounds(*centralised(DATA, work), 3)
    assert same(trained, plain_training(DATA, work, "sgd", "centralised", 3, reset=False))


def test_harmonic_server_rate_equals_the_published_list_that_is_never_cleared():
    roles = mixed_roles(LABELS, 4, 2)
    federation, start = federate(roles, DATA, local_work(), method=HoVeFL("harmonic"))
    published, locals_of = start.weights, defaultdict(list)
    for number in range(1, 6):
        for role in roles:
            # What the member alone would make of the published global weights.
            lone, _ = federate([role], DATA, local_work())
            locals_of[type(role)].append(lone.round(number, lone.start(published)).state.weights)
        halves = [
            {name: torch.stack([one[name].double() for one in models]).mean(0) for name in published}
            for models in locals_of.values()
        ]
        published = {name: ((halves[0][name] + halves[1][name]) / 2).float() for name in published}
    harmonic = rounds(federation, start, 5)
    for name in published:
        torch.testing.assert_close(harmonic[name], published[name], rtol=1e-5, atol=1e-6)
    corrected, _ = federate(roles, DATA, local_work())
    assert not torch.allclose(rounds(corrected, start, 5)["top.0.weight"], harmonic["top.0.weight"], atol=1e-3)


def test_hybrid_without_groups_is_federated_averaging():
    roles = mixed_roles(LABELS, 6, 0)
    hybrid, start = federate(roles, DATA, local_work())
    averaging, _ = federate(roles, DATA, local_work(), method=FedAvg())
    assert same(rounds(hybrid, start, 3), rounds(averaging, start, 3))


def test_hybrid_without_devices_is_the_mean_of_the_groups():
    roles = mixed_roles(LABELS, 0, 3)
    hybrid, start = federate(roles, DATA, local_work())
    alone = [federate([role], DATA, local_work())[0].round(1, start).state.weights for role in roles]
    mean = hybrid.round(1, start).state.weights
    for name in mean:
        expected = torch.stack([one[name].double() for one in alone]).mean(0).float()
        torch.testing.assert_close(mean[name], expected, rtol=1e-6, atol=1e-7)


def test_full_batch_single_step_federation_is_a_centralised_step_under_any_skew():
    parts = dirichlet(LABELS.numpy(), 5, 0.3, numpy_generator(1))
    roles = [HorizontalRole(f"h{i:05d}", part) for i, part in enumerate(parts)]
    work = local_work(epochs=1, batch=1000)
    federation, start = federate(roles, DATA, work, method=FedAvg())
    central = rounds(*centralised(DATA, work), 4)
    federated = rounds(federation, start, 4)
    assert len({len(part) for part in parts}) > 1
    for name in central:
        torch.testing.assert_close(federated[name], central[name], rtol=1e-5, atol=1e-6)


def test_order_of_members_does_not_change_a_bit():
    roles = mixed_roles(LABELS, 4, 3)
    federation, start = federate(roles, DATA, local_work())
    shuffled = [roles[i] for i in numpy_generator(5).permutation(len(roles))]
    other, _ = federate(shuffled, DATA, local_work())
    first, second = federation.round(1, start), other.round(1, start)
    assert same(first.state.weights, second.state.weights)
    assert first.train_loss == second.train_loss


@pytest.mark.parametrize("parties", [1, 2, 3])
def test_bytes_are_those_of_the_formula(parties):
    epochs, horizontal, vertical = 2, 4, 2
    roles = mixed_roles(LABELS, horizontal, vertical, parties)
    federation, start = federate(roles, DATA, local_work(epochs=epochs), parties)
    parameters = sum(value.numel() for value in start.weights.values())
    counts = federation.round(1, start).counts + federation.round(2, start).counts
    shared = sum(len(role.samples) for role in roles if isinstance(role, VerticalRole))
    # Weights go out and come back; a shared sample costs an embedding up and its gradient down in each epoch.
    assert counts.bytes_horizontal == 2 * horizontal * (2 * 4 * parameters)
    assert counts.bytes_vertical_weights == 2 * vertical * (2 * 4 * parameters)
    assert counts.bytes_vertical_embeddings == 2 * parties * EMBEDDING * (4 + 4) * epochs * shared
    assert counts.left_out == {}


@pytest.mark.parametrize("fault", [vanish, vanish_in_step_1], ids=["absent", "leaves in mid-session"])
def test_a_group_with_a_missing_party_is_left_out_as_if_it_were_not_there(fault):
    roles = mixed_roles(LABELS, 4, 3)
    broken, start = altered(roles, fault("v00001/party1"))
    others = without(roles, "v00001")
    result = broken.round(1, start)
    assert same(result.state.weights, others.round(1, start).state.weights)
    assert result.left_out == {"v00001": "unreachable"}
    # The next round is a new session of the parties that are still there.
    second = broken.round(2, result.state)
    assert same(second.state.weights, others.round(2, result.state).state.weights)
    assert (result.counts + second.counts).left_out == {"unreachable": 2}


def test_an_address_that_nobody_has_is_unreachable():
    roles = mixed_roles(LABELS, 3, 0)
    federation, start = federate(roles, DATA, local_work())
    wider = replace(federation, roles=[*roles, one_horizontal(5, "h00009")])
    result = wider.round(1, start)
    assert result.left_out == {"h00009": "unreachable"}
    assert same(result.state.weights, federation.round(1, start).state.weights)


@pytest.mark.parametrize("member", ["h00002", "v00001/party0", "v00001/labels"])
@pytest.mark.parametrize(
    "value",
    [lambda weight: weight * float("nan"), lambda weight: weight / 0, lambda weight: weight[:1]],
    ids=["NaN", "infinite", "shape"],
)
def test_a_spoilt_update_is_rejected_counted_and_has_no_influence(member, value):
    roles = mixed_roles(LABELS, 4, 3)
    broken, start = altered(roles, spoil(member, value))
    result = broken.round(1, start)
    id_ = member.split("/")[0]
    assert same(result.state.weights, without(roles, id_).round(1, start).state.weights)
    assert result.left_out == {id_: "rejected"}


LIES = {
    "done for an update": answer_instead("h00001", Update, lambda update: Done()),
    "an update of another round": answer_instead("h00001", Update, lambda update: replace(update, round=7)),
    "a refusal without a reason": answer_instead("h00001", Update, lambda update: Refusal("nonsense", "")),
    "diverged in another round": answer_instead("h00001", Update, lambda _: Diverged(7, 1, 1, "loss", "nan")),
    "done for a party's update": answer_instead("v00001/party0", Update, lambda update: Done()),
    "a wider embedding": answer_instead(
        "v00001/party0", Embedding, lambda one: replace(one, embedding=one.embedding.repeat(1, 2))
    ),
    "an embedding of fewer images": answer_instead(
        "v00001/party0", Embedding, lambda one: replace(one, embedding=one.embedding[1:])
    ),
    "an embedding in float64": answer_instead(
        "v00001/party0", Embedding, lambda one: replace(one, embedding=one.embedding.double())
    ),
    "an embedding of another step": answer_instead("v00001/party0", Embedding, lambda one: replace(one, step=9)),
    "an embedding of another round": answer_instead("v00001/party0", Embedding, lambda one: replace(one, round=9)),
    "done for an embedding": answer_instead("v00001/party0", Embedding, lambda one: Done()),
    "an embedding for done": answer_instead("v00001/party0", Done, lambda _: Embedding(1, 0, torch.zeros(1))),
}
STATUS = {
    "an update of another round": "rejected",
    "a refusal without a reason": "failed",
    "done for an update": "forbidden",
    "an embedding for done": "forbidden",
}


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_to_another_question_is_an_outcome_of_its_member_alone(lie):
    roles = mixed_roles(LABELS, 3, 2)
    broken, start = altered(roles, LIES[lie])
    result = broken.round(1, start)
    ((member, status),) = result.left_out.items()
    assert status == STATUS.get(lie, "malformed")
    assert same(result.state.weights, without(roles, member).round(1, start).state.weights)


def test_a_member_that_cannot_go_on_is_told_of_and_the_others_go_on(caplog):
    roles = mixed_roles(LABELS, 3, 0)
    few = (DATA[0], LABELS.clone())
    few[1][roles[1].samples[0]] = 99  # no such class: the loss cannot be computed
    federation, start = federate(roles, few, local_work())
    result = federation.round(1, start)
    assert result.left_out == {"h00001": "failed"}
    assert same(result.state.weights, without(roles, "h00001").round(1, start).state.weights)
    assert "round 1 goes on without h00001 (failed): h00001: IndexError: Target 99 is out of bounds" in caplog.text


def test_a_round_without_any_answer_fails_and_says_why():
    roles = mixed_roles(LABELS, 1, 1)
    broken, start = altered(roles, vanish("h00000"), spoil("v00000/labels", lambda weight: weight * np.nan))
    with pytest.raises(
        InputError, match=r"^learning_rate: round 1: 1 members unreachable, 1 rejected, none left\. .*h00000"
    ):
        broken.round(1, start)


@pytest.mark.parametrize(
    ("mix", "place"),
    [
        ((1, 0), "round 3, h00000, local epoch 1, step [12]: the loss"),
        ((0, 1), "round 3, v00000, local step [12]: the"),
    ],
)
def test_a_member_whose_training_diverges_ends_the_run_with_its_place(mix, place):
    work = replace(local_work(), optimiser=replace(OPTIMISERS["sgd"], learning_rate=1e30))
    federation, start = federate(mixed_roles(LABELS, *mix), DATA, work)
    with pytest.raises(InputError, match=rf"^learning_rate: training diverged in {place} .*Lower it"):
        federation.round(3, start)


@pytest.mark.parametrize(
    ("mix", "place"),
    [
        ((1, 0), "round 3, h00000, local epoch 1, step {}: the loss"),
        ((0, 1), "round 3, v00000, local step {}: the embed"),
    ],
)
def test_the_step_that_first_meets_a_spoilt_image_is_told(mix, place):
    (role,), spoilt = mixed_roles(LABELS, *mix), 100
    inputs, work = DATA[0].clone(), local_work()
    inputs[role.samples[spoilt]] = float("inf")
    first, _ = work.batches(role.id, 3, len(role.samples))
    (step,) = [number for number, batch in enumerate(first, start=1) if (batch == spoilt).any()]
    federation, start = federate([role], (inputs, LABELS), work)
    with pytest.raises(InputError, match=rf"^learning_rate: training diverged in {place.format(step)}"):
        federation.round(3, start)


def test_at_one_machine_nothing_crosses():
    federation, start = centralised(DATA, local_work())
    assert federation.round(1, start).counts == Counts()


def test_devices_do_not_write_into_the_weights_they_were_sent():
    federation, start = federate(mixed_roles(LABELS, 2, 2), DATA, local_work())
    before = copy.deepcopy(start.weights)
    federation.round(1, start)
    assert same(start.weights, before)


def test_results_of_a_round_stay_as_they_were_when_devices_train_on():
    federation, start = federate(mixed_roles(LABELS, 1, 1), DATA, local_work())
    first = federation.round(1, start).state
    before = copy.deepcopy(first.weights)
    federation.round(2, first)
    assert same(first.weights, before)


def test_a_round_that_is_over_is_not_trained_again():
    federation, start = federate(mixed_roles(LABELS, 1, 1), DATA, local_work())
    federation.round(5, start)
    federation.round(5, start)  # a server that was killed in round 5 does it again
    with pytest.raises(InputError, match="2 members replayed, none left"):
        federation.round(4, start)


def test_every_method_learns_what_can_be_learnt():
    inputs = DATA[0].clone()
    inputs[torch.arange(144), 0, 2, LABELS * 2] += 6
    for mix in ((6, 0), (3, 3), (0, 6)):
        roles = mixed_roles(LABELS, *mix)
        federation, start = federate(roles, (inputs, LABELS), local_work())
        model = network()
        model.load_state_dict(rounds(federation, start, 15))
        assert evaluate(model, inputs, LABELS)["accuracy"] > 0.9
    assert inputs.shape[1:] == SHAPE


def test_counts_add_up_by_name():
    first, second = Counts(1, 2, 3, {"late": 1, "failed": 2}), Counts(10, 20, 30, {"late": 4})
    assert first + second == Counts(11, 22, 33, {"late": 5, "failed": 2})
    assert first.bytes_vertical == 5


def test_metrics_have_a_status_beside_unreachable_and_rejected_only_if_it_occurred():
    assert Counts(1, 2, 3).metrics() == {
        "bytes_horizontal": 1, "bytes_vertical": 5, "bytes_vertical_weights": 2, "bytes_vertical_embeddings": 3,
        "members_unreachable": 0, "members_rejected": 0,
    }  # fmt: skip
    told = Counts(left_out={"late": 2, "rejected": 1}).metrics()
    assert (told["members_late"], told["members_rejected"], told["members_unreachable"]) == (2, 1, 0)
