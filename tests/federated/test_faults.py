"""Every message of a round, struck by every fault: an outcome of its member, and the others as if it were not there."""

from dataclasses import replace
from functools import partial

import pytest
from small_federation import OPTIMISERS, federate, local_work, mixed_roles, same, samples

from fishbone.errors import InputError
from fishbone.federated import messages
from fishbone.federated.messages import POLICY
from fishbone.wire.memory import Memory
from fishbone.wire.testing import FakeClock, Fault, Faulty, check_complete

DATA = samples(144)
LABELS = DATA[1]
ROLES = mixed_roles(LABELS, 2, 2)
DEADLINE = 10.0

HORIZONTAL = [("server", "h00001", "train"), ("h00001", "server", "update")]
GROUP = [
    ("server", "v00001/party1", "begin"),
    ("v00001/party1", "server", "done"),
    ("server", "v00001/labels", "train"),
    ("v00001/labels", "v00001/party1", "embedding_request"),
    ("v00001/party1", "v00001/labels", "embedding"),
    ("v00001/labels", "v00001/party1", "embedding_gradient"),
    ("v00001/party1", "v00001/labels", "done"),
    ("v00001/labels", "server", "update"),
    ("server", "v00001/party1", "finish"),
    ("v00001/party1", "server", "update"),
]
CARRYING_TENSORS = ("train", "begin", "update", "embedding", "embedding_gradient")


def faulty(fault, work):
    """A federation on which the fault happens, its start, and the carrier."""
    made = []

    def carrier(policy, observers):
        made.append(Faulty(policy, observers, faults=[fault], clock=FakeClock()))
        return made[0]

    federation, start = federate(ROLES, DATA, work, carrier=carrier)
    return federation, start, made[0]


def faults():
    for sender, receiver, kind in HORIZONTAL + GROUP:
        for what in ("drop", "delay", "repeat", "reorder", "corrupt", "nan", "raise"):
            reply = kind in ("update", "done", "embedding")
            if (what == "nan" and kind not in CARRYING_TENSORS) or (what == "raise" and reply):
                continue
            seconds = 60.0 if what == "delay" else 0.0
            yield pytest.param(
                Fault(what, kind, sender, receiver, seconds=seconds), id=f"{what} {kind} from {sender} to {receiver}"
            )


EXPECTED = {"drop": "late", "delay": "late", "reorder": "late", "corrupt": "malformed", "raise": "failed"}


@pytest.mark.parametrize("fault", list(faults()))
def test_a_fault_is_an_outcome_of_its_member_and_the_others_never_notice(fault):
    work = local_work(epochs=1, batch=20, deadline=DEADLINE)
    federation, state, carrier = faulty(fault, work)
    member = (fault.receiver if fault.sender == "server" else fault.sender).split("/")[0]
    seen = []
    for number in (1, 2):
        result = federation.round(number, state)
        assert set(result.left_out) <= {member}
        lone, _ = federate([role for role in ROLES if role.id not in result.left_out], DATA, work)
        assert same(result.state.weights, lone.round(number, state).state.weights)
        assert sum(result.counts.left_out.values()) == len(result.left_out)
        seen.append(result.left_out.get(member))
        state = result.state
    assert carrier.struck[fault] == 1
    if fault.what == "repeat":
        # A second request is refused, and nobody listens; a second reply comes in place of the next one.
        reply = fault.kind in ("update", "done", "embedding")
        assert seen.count("replayed") == reply
        assert (carrier.refused["replayed"] == 1) != reply
    elif fault.what == "nan":
        assert seen[0] == ("rejected" if fault.kind == "update" else "malformed")
    else:
        assert seen[0] == EXPECTED[fault.what]


def test_without_a_deadline_a_lost_message_is_told_as_unreachable():
    federation, start, _ = faulty(Fault("drop", "embedding", "v00001/party0"), local_work())
    assert federation.round(1, start).left_out == {"v00001": "unreachable"}


def test_slow_members_do_not_use_up_each_others_time():
    fault = Fault("delay", "update", receiver="server", seconds=0.9 * DEADLINE, times=None)
    federation, start, _ = faulty(fault, local_work(deadline=DEADLINE))
    # A horizontal device sends one update; a group three, and it has one deadline for them all.
    assert federation.round(1, start).left_out == {"v00000": "late", "v00001": "late"}


def test_a_group_that_is_slow_in_each_step_is_late():
    fault = Fault("delay", "embedding", "v00001/party0", seconds=0.3 * DEADLINE, times=None)
    federation, start, carrier = faulty(fault, local_work(deadline=DEADLINE))
    assert federation.round(1, start).left_out == {"v00001": "late"}
    assert carrier.struck[fault] == 4  # of 12 steps


def test_the_policy_is_what_a_run_needs_and_no_more():
    seen = []

    def carrier(policy, observers):
        return Memory(policy, [*observers, seen.append])

    federation, start = federate(ROLES, DATA, local_work(), carrier=carrier)
    federation.round(1, start)
    wild = replace(local_work(), optimiser=replace(OPTIMISERS["sgd"], learning_rate=1e30))
    bright = DATA[0] + float("inf"), LABELS
    for data, role, what in [
        (DATA, ROLES[0], "loss"),
        (DATA, ROLES[2], "loss|gradient"),
        (bright, ROLES[2], "embedding"),
    ]:
        diverging, start = federate([role], data, wild, carrier=carrier)
        with pytest.raises(InputError, match=f"diverged in round 1, {role.id}, .*: the ({what}) is"):
            diverging.round(1, start)
    check_complete(POLICY, seen, federation.engine.parties.roles, messages)


def test_messages_through_the_codec_change_no_bit():
    plain, start = federate(ROLES, DATA, local_work())
    coded, _ = federate(ROLES, DATA, local_work(), carrier=partial(Memory, through_codec=True))
    first, second = plain.round(1, start), coded.round(1, start)
    assert same(first.state.weights, second.state.weights)
    assert (first.train_loss, first.counts) == (second.train_loss, second.counts)
    assert second.left_out == {}
