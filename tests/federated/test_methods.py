import json

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


@pytest.mark.parametrize("lost", ["h00002", "v00000/party1"])
def test_what_a_member_learnt_in_a_round_that_did_not_count_is_forgotten(lost):
    """Its update got lost: it goes on as if it had been away, and so do the other parties of its group."""

    def after(strike):
        def carrier(policy, observers):
            fault = Fault("drop", "update", lost, after=1)
            return Faulty(policy, observers, faults=[fault] if strike == "update" else ())

        roles = mixed_roles(LABELS, 3, 1)
        federation, state = federate(
            roles, DATA, local_work(), method=Scaffold(), methods={"scaffold": Scaffold}, carrier=carrier
        )
        member = lost.split("/")[0]
        state = federation.round(1, state).state
        if strike == "update":
            result = federation.round(2, state)
            assert result.left_out == {member: "unreachable"}
        else:
            without = replace(federation, roles=[role for role in roles if role.id != member])
            result = without.round(2, state)
            # The shares of a round are those of all members.
            moved = {name: value for name, value in result.state.memory.items()}
            assert moved.keys() == state.memory.keys()
        return federation, result.state

    (struck, one), (away, other) = after("update"), after("absence")
    assert same(one.weights, other.weights)
    third = struck.round(3, one), away.round(3, replace(other, memory=one.memory))
    assert third[0].left_out == third[1].left_out == {}
    assert same(third[0].state.weights, third[1].state.weights)
    assert same(third[0].state.memory, third[1].state.memory)


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
