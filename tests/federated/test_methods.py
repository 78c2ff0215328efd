import json
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import pytest
import torch
from small_federation import federate, local_work, mixed_roles, rounds, same, samples
from small_methods import FedAvgM, FedProx, Scaffold

from fishbone.errors import FishboneError
from fishbone.federated.messages import NamedMethod
from fishbone.federated.methods import METHODS
from fishbone.federated.methods.fedavg import FedAvg
from fishbone.federated.methods.protocol import named
from fishbone.nn.averages import weighted_mean
from fishbone.nn.pack import under
from fishbone.wire.actor import Packed
from fishbone.wire.testing import Fault, Faulty

DATA = samples(144)
LABELS = DATA[1]


def run(method, mix=(3, 2), count=3, known=None, **how):
    roles = mixed_roles(LABELS, *mix)
    known = known or {method.name: type(method)}
    federation, start = federate(roles, DATA, local_work(), method=method, methods=known, **how)
    return federation, start, rounds(federation, start, count)


def test_the_table_names_each_method_once():
    assert sorted(METHODS) == ["centralised", "fedavg", "hovefl"]
    assert all(METHODS[name].name == name for name in METHODS)


@pytest.mark.parametrize("method", [FedAvg("harmonic"), FedProx(mu=0.1), Scaffold(frozen=True), FedAvgM(beta=0.9)])
def test_a_method_is_the_same_after_it_was_sent(method):
    sent = NamedMethod(**json.loads(json.dumps(vars(named(method)))))
    assert type(method)(**sent.settings) == method
    assert sent.name == method.name


def test_fedprox_without_its_term_is_fedavg_bit_for_bit():
    _, _, plain = run(FedAvg())
    _, _, without = run(FedProx(mu=0.0))
    _, _, pulled = run(FedProx(mu=1.0))
    assert same(without, plain)
    assert not same(pulled, plain)


def test_fedprox_stays_nearer_to_where_it_began():
    def distance(mu):
        _, start, end = run(FedProx(mu=mu), count=1)
        return sum(float((end[name] - start.weights[name]).square().sum()) for name in end)

    assert distance(1.0) < distance(0.1) < distance(0.0)


def test_scaffold_whose_variates_stay_zero_is_fedavg_bit_for_bit():
    # Equal shares: so many samples has every member.
    _, _, plain = run(FedAvg(), mix=(6, 0))
    assert same(run(Scaffold(frozen=True), mix=(6, 0))[2], plain)
    _, _, corrected = run(Scaffold(), mix=(6, 0))
    assert not same(corrected, plain)


def test_the_first_round_of_scaffold_is_fedavg_bit_for_bit():
    assert same(run(Scaffold(), mix=(6, 0), count=1)[2], run(FedAvg(), mix=(6, 0), count=1)[2])


@pytest.mark.parametrize("mix", [(6, 0), (3, 2), (0, 3)])
def test_scaffolds_variate_at_the_server_is_the_mean_of_the_members(mix):
    federation, state = federate(
        mixed_roles(LABELS, *mix), DATA, local_work(), method=Scaffold(), methods={"scaffold": Scaffold}
    )
    for number in (1, 2, 3):
        state = federation.round(number, state).state
    packed = federation.engine.parties.pack()
    shares = federation.method.weigh(federation.roles)
    kept = {
        address: (shares[role.id], under("3/", packed[address].tensors))
        for role in federation.roles
        for address in role.parts
    }
    mean = weighted_mean(kept)
    assert mean.keys() == state.memory.keys()
    for name, c in state.memory.items():
        assert c.abs().max() > 0
        torch.testing.assert_close(c, mean[name].float(), rtol=1e-5, atol=1e-6)


def test_scaffold_sends_twice_what_fedavg_sends():
    def counts(method):
        federation, start, _ = run(method, count=0)
        return federation.round(1, start).counts

    plain, scaffold = counts(FedAvg()), counts(Scaffold())
    assert scaffold.bytes_horizontal == 2 * plain.bytes_horizontal
    assert scaffold.bytes_vertical_weights == 2 * plain.bytes_vertical_weights
    assert scaffold.bytes_vertical_embeddings == plain.bytes_vertical_embeddings


def test_scaffold_forgets_nobodys_variate_when_a_member_is_away():
    roles = mixed_roles(LABELS, 3, 0)
    federation, start = federate(roles, DATA, local_work(), method=Scaffold(), methods={"scaffold": Scaffold})
    first = federation.round(1, start).state
    federation.engine.parties.detach("h00002")
    result = federation.round(2, first)
    assert result.left_out == {"h00002": "unreachable"}
    change = {name: (result.state.memory[name] - first.memory[name]).abs().max() for name in first.memory}
    assert all(value > 0 for value in change.values())


@pytest.mark.parametrize(
    ("member", "lost", "unasked"),
    [
        ("h00002", ("update", "h00002", None), ("train", None, "h00002")),
        ("v00000", ("update", "v00000/party1", None), ("begin", None, "v00000/party0")),
    ],
    ids=["device", "group"],
)
def test_what_a_member_learnt_in_a_round_that_did_not_count_is_as_if_it_had_not_been_asked(member, lost, unasked):
    """SCAFFOLD's c is the mean of the c_k only if these move with it. The last party's update is the group's last."""

    def third_round(fault):
        roles = mixed_roles(LABELS, 3, 1)
        carrier = partial(Faulty, faults=[Fault("drop", *fault, after=1)])
        known = {"scaffold": Scaffold}
        federation, state = federate(roles, DATA, local_work(), method=Scaffold(), methods=known, carrier=carrier)
        for number in (1, 2, 3):
            result = federation.round(number, state)
            assert set(result.left_out) == ({member} if number == 2 else set())
            state = result.state
        return state

    first, second = third_round(lost), third_round(unasked)
    assert same(first.weights, second.weights)
    assert same(first.memory, second.memory)


@dataclass(frozen=True)
class KeepsParameters(FedAvg):
    name: ClassVar[str] = "keeps_parameters"

    def end(self, local, steps):
        return {}, dict(local.parameters)


def test_what_a_method_leaves_on_a_device_stays_as_it_was_when_the_device_trains_on():
    federation, state = federate(
        mixed_roles(LABELS, 1, 0), DATA, local_work(), method=KeepsParameters(),
        methods={"keeps_parameters": KeepsParameters},
    )  # fmt: skip
    first = federation.round(1, state).state
    second = federation.round(2, first).state
    packed = federation.engine.parties.pack()["h00000"]
    assert packed.values == {"rounds": [1, 2]}
    assert same(under("1/", packed.tensors), first.weights)
    assert same(under("2/", packed.tensors), second.weights)


def test_a_device_that_lost_its_state_goes_on_with_an_empty_memory():
    federation, state, _ = run(Scaffold(), mix=(3, 0), count=0)
    first = federation.round(1, state).state
    parties = federation.engine.parties
    packed = parties.pack()
    parties.unpack({address: Packed({}, {"rounds": [0]}) for address in packed})
    result = federation.round(2, first)
    assert result.left_out == {}
    assert parties.pack()["h00000"].values == {"rounds": [1, 2]}


def test_server_momentum_of_zero_is_fedavg():
    _, _, plain = run(FedAvg())
    _, _, without = run(FedAvgM(beta=0.0))
    for name in plain:
        torch.testing.assert_close(without[name], plain[name], rtol=1e-6, atol=1e-7)


def test_server_momentum_adds_the_earlier_moves():
    def states(method):
        federation, start, _ = run(method, count=0)
        first = federation.round(1, start).state
        return start, first, federation.round(2, first).state

    (start, first, second), (_, plain_first, plain_second) = states(FedAvgM(beta=0.5)), states(FedAvg())
    for name in first.weights:
        torch.testing.assert_close(first.weights[name], plain_first.weights[name], rtol=1e-6, atol=1e-7)
        moved = plain_second.weights[name] + 0.5 * (first.weights[name] - start.weights[name])
        torch.testing.assert_close(second.weights[name], moved, rtol=1e-4, atol=1e-6)


def test_a_device_takes_part_only_in_methods_that_it_knows():
    roles = mixed_roles(LABELS, 2, 1)
    federation, start = federate(roles, DATA, local_work(), method=FedProx(mu=0.1))
    with pytest.raises(FishboneError, match=r"3 members malformed, none left.*knows no method 'fedprox'"):
        federation.round(1, start)
