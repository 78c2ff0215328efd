from dataclasses import dataclass

import pytest
from wire_parties import POLICY, Answer, Note, Question, question

from fishbone.errors import Forbidden
from fishbone.wire.message import Envelope, Message, Refusal
from fishbone.wire.policy import Policy, Rule

ROLES = {"a": "asker", "w": "worker", "v": "worker"}


def envelope(sender, receiver, message=None):
    return Envelope(sender, receiver, 0, message or question())


def test_what_a_rule_lets_pass_passes_and_nothing_else():
    policy = Policy([Rule(Question, "asker", "worker")])
    policy.check(envelope("a", "w"), ROLES)
    for sender, receiver, message in [
        ("w", "a", question()),
        ("w", "v", question()),
        ("a", "a", question()),
        ("a", "w", Note(1)),
        ("a", "w", Answer(question().values)),
    ]:
        with pytest.raises(Forbidden):
            policy.check(envelope(sender, receiver, message), ROLES)


def test_the_error_names_kind_addresses_and_roles():
    with pytest.raises(Forbidden, match=r"^question from w \(worker\) to a \(asker\)$"):
        POLICY.check(envelope("w", "a"), ROLES)


def test_a_refusal_goes_where_a_message_may_come_from_only():
    policy = Policy([Rule(Question, "asker", "worker")])
    policy.check(envelope("w", "a", Refusal("failed", "")), ROLES)
    with pytest.raises(Forbidden):
        policy.check(envelope("a", "w", Refusal("failed", "")), ROLES)
    with pytest.raises(Forbidden):
        policy.check(envelope("w", "v", Refusal("failed", "")), ROLES)


def test_an_address_without_a_role_may_neither_send_nor_be_sent_anything():
    with pytest.raises(Forbidden, match=r"^question from x \(nobody\) to w \(worker\)$"):
        POLICY.check(envelope("x", "w"), ROLES)
    with pytest.raises(Forbidden, match=r"^question from a \(asker\) to x \(nobody\)$"):
        POLICY.check(envelope("a", "x"), ROLES)


def test_a_subclass_of_an_allowed_message_is_another_message():
    @dataclass(frozen=True, eq=False)
    class Longer(Question):
        kind = "longer"

    with pytest.raises(Forbidden):
        POLICY.check(envelope("a", "w", Longer(question().values)), ROLES)


def test_kinds_are_all_messages_of_the_rules_and_the_refusal():
    assert POLICY.kinds == {"question": Question, "answer": Answer, "note": Note, "refusal": Refusal}
    assert Policy([]).kinds == {"refusal": Refusal}


def test_two_messages_of_one_kind_are_refused():
    @dataclass(frozen=True, eq=False)
    class Other(Message):
        kind = "note"

    with pytest.raises(ValueError, match=r"^two of \['Note', 'Other', 'Refusal'\] have the same kind$"):
        Policy([Rule(Note, "a", "b"), Rule(Other, "a", "b")])


def test_a_message_that_is_no_dataclass_is_refused_with_the_policy():
    class Plain(Message):
        kind = "plain"

    with pytest.raises(TypeError, match="Plain is no dataclass"):
        Policy([Rule(Plain, "a", "b")])
