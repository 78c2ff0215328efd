from dataclasses import dataclass
from types import ModuleType

import pytest
import torch
import wire_parties
from wire_parties import POLICY, Adder, Answer, Note, Question, question

from fishbone.errors import LinkError
from fishbone.wire.memory import Memory
from fishbone.wire.message import Envelope, Message, Refusal
from fishbone.wire.policy import Policy, Rule
from fishbone.wire.testing import check_complete, rules_used

ROLES = {"a": "asker", "w": "worker"}


def note_back(state, request, link):
    return state, Note(1)


def forbidden(state, request, link):
    return state, Question(torch.ones(1))


def run(policy, *notes):
    """All that an observer saw while a worker was asked, asked in turn, and sent notes."""
    seen = []
    memory = Memory(policy, [seen.append])
    memory.attach("w", Adder(note_back, forbidden))
    memory.attach("v", Adder())
    link = memory.link("a", "asker")
    for message in (question(), Question(torch.ones(2), "v"), *(Note(number) for number in notes)):
        try:
            link.ask("w", message)
        except LinkError:
            continue
    return seen, memory.roles


def test_the_rules_that_a_run_used_are_those_of_what_was_sent():
    seen, roles = run(POLICY, 0)
    assert rules_used(seen, roles) == POLICY.rules
    seen, roles = run(POLICY)
    assert rules_used(seen, roles) == {rule for rule in POLICY.rules if rule.message is not Note}


def test_refusals_need_no_rule_and_an_unknown_address_is_nobody():
    seen = [Envelope("a", "w", 0, Refusal("late", "")), Envelope("x", "y", 0, Note(1))]
    assert rules_used(seen, ROLES) == {Rule(Note, "nobody", "nobody")}


def test_a_complete_policy_passes():
    check_complete(POLICY, *run(POLICY, 0))


def test_a_rule_that_nobody_uses_is_found():
    with pytest.raises(AssertionError) as found:
        check_complete(POLICY, *run(POLICY))
    assert str(found.value).splitlines() == [
        "nobody used note from asker to worker",
        "nobody used note from worker to asker",
    ]


def test_a_message_that_was_sent_without_a_rule_is_found():
    seen, roles = run(POLICY, 0)
    fewer = Policy(rule for rule in POLICY.rules if rule.message is not Answer)
    with pytest.raises(AssertionError) as found:
        check_complete(fewer, seen, roles)
    assert str(found.value).splitlines() == [
        "no rule for answer from worker to asker",
        "no rule for answer from worker to worker",
    ]


def test_a_message_that_was_tried_without_a_rule_is_found():
    with pytest.raises(AssertionError, match=r"^no rule for question from w \(worker\) to a \(asker\)$"):
        check_complete(POLICY, *run(POLICY, 0, 1))


def test_a_message_that_no_rule_names_is_found():
    @dataclass(frozen=True, eq=False)
    class Forgotten(Message):
        kind = "forgotten"

    module = ModuleType("messages")
    module.Note, module.Forgotten, module.number = Note, Forgotten, 3
    Forgotten.__module__ = "messages"
    seen, roles = run(POLICY, 0)
    with pytest.raises(AssertionError, match=r"^no rule names Forgotten$"):
        check_complete(POLICY, seen, roles, module)


def test_all_modules_are_looked_at():
    seen, roles = run(POLICY, 0)
    with pytest.raises(AssertionError, match=r"^no rule names Full$"):
        check_complete(POLICY, seen, roles, ModuleType("empty"), wire_parties)
