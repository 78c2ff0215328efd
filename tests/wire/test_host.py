import logging

import pytest
import torch
from wire_parties import POLICY, Adder, Answer, Note, Question, question

from fishbone.errors import LinkError
from fishbone.wire.actor import Host
from fishbone.wire.errors import BY_STATUS
from fishbone.wire.message import Envelope, Refusal

ROLES = {"a": "asker", "b": "asker", "w": "worker"}


class NoLink:
    def ask(self, address, message, deadline=None):
        raise AssertionError("nobody is to be asked")


def host(*acts):
    return Host("w", Adder(*acts), POLICY)


def ask(host, message=None, number=0, sender="a", receiver="w"):
    return host.answer(Envelope(sender, receiver, number, message or question()), ROLES, NoLink())


def refused(reply, status):
    assert isinstance(reply.message, Refusal)
    assert reply.message.status == status
    return reply.message.reason


def raiser(error):
    def act(state, request, link):
        raise error

    return act


def test_a_reply_goes_back_to_the_sender_with_the_requests_number():
    reply = ask(host(), number=5)
    assert (reply.sender, reply.receiver, reply.number) == ("w", "a", 5)
    assert reply.message.values.tolist() == [1, 2]


def test_the_state_goes_on_from_request_to_request():
    one = host()
    ask(one)
    assert ask(one, number=1).message.values.tolist() == [2, 4]
    assert one.state.tolist() == [2, 4]


def test_what_the_policy_forbids_is_refused_and_not_handled():
    one = host()
    assert refused(ask(one, Answer(torch.ones(2))), "forbidden") == "answer from a (asker) to w (worker)"
    assert refused(ask(one, sender="x"), "forbidden") == "question from x (nobody) to w (worker)"
    assert one.state.tolist() == [0, 0]


def test_a_request_to_somebody_else_is_malformed():
    assert refused(ask(host(), receiver="v"), "malformed") == "a request to v came to w"


def test_a_refusal_is_no_request():
    one = Host("a", Adder(), POLICY)
    assert (
        refused(ask(one, Refusal("late", ""), sender="w", receiver="a"), "malformed")
        == "w refused what a had not asked"
    )


def test_a_number_that_is_not_above_the_last_one_of_its_sender_is_replayed():
    one = host()
    assert isinstance(ask(one, number=3).message, Answer)
    for number in (3, 2, 0):
        assert refused(ask(one, number=number), "replayed") == f"request {number} from a has been there before"
    assert one.state.tolist() == [1, 2]
    assert isinstance(ask(one, number=4).message, Answer)
    assert isinstance(ask(one, number=0, sender="b").message, Answer)


def test_a_request_that_failed_is_not_answered_a_second_time():
    one = host(raiser(RuntimeError("no")))
    refused(ask(one, Note(0)), "failed")
    refused(ask(one, Note(0)), "replayed")


def test_a_request_that_is_not_allowed_uses_up_no_number():
    one = host()
    refused(ask(one, Answer(torch.ones(2)), number=9), "forbidden")
    assert isinstance(ask(one, number=0).message, Answer)


@pytest.mark.parametrize("error", [*BY_STATUS.values(), LinkError])
def test_a_link_error_of_the_actor_keeps_its_status_and_is_not_logged(error, caplog):
    one = host(raiser(error("of\nno use")))
    assert refused(ask(one, Note(0)), error.status) == "of no use"
    assert caplog.records == []


def test_any_other_exception_of_the_actor_is_failed_and_logged_with_its_traceback(caplog):
    with caplog.at_level(logging.ERROR):
        reason = refused(ask(host(raiser(KeyError("that\nkey"))), Note(0)), "failed")
    assert reason == "KeyError: 'that\\nkey'"
    (record,) = caplog.records
    assert record.getMessage() == "w could not answer note"
    assert record.exc_info[0] is KeyError


def test_no_exception_ends_anothers_run_but_the_one_that_ends_any_program():
    with pytest.raises(KeyboardInterrupt):
        ask(host(raiser(KeyboardInterrupt())), Note(0))


@pytest.mark.parametrize(
    ("reply", "status", "reason"),
    [
        (None, "failed", "TypeError: NoneType is no message"),
        (Answer(torch.ones(1, dtype=torch.complex64)), "failed", "TypeError: answer: values is torch.complex64"),
        (Note("1"), "failed", "ValueError: note: number: 1 validation error"),
        (Question(torch.ones(1)), "forbidden", "question from w (worker) to a (asker)"),
    ],
)
def test_a_reply_that_cannot_be_sent_is_the_actors_failure_and_leaves_the_state(reply, status, reason):
    one = host(lambda state, request, link: (state + 1, reply))
    assert refused(ask(one, Note(0)), status).startswith(reason)
    assert one.state.tolist() == [0, 0]


def test_the_state_is_as_before_a_request_that_failed():
    one = host(lambda state, request, link: (state + 1, Note(0)), lambda state, request, link: 3)
    ask(one, Note(0))
    refused(ask(one, Note(1), number=1), "failed")
    assert one.state.tolist() == [1, 1]


def test_a_party_that_is_asked_while_it_answers_refuses_and_its_state_is_not_lost():
    def again(state, request, link):
        inner.append(ask(one, number=7))
        return state + 1, Note(0)

    inner = []
    one = host(again)
    assert ask(one, Note(0), sender="b").message.number == 0
    assert refused(inner[0], "failed") == "w is asked while it answers: the parties ask in a circle"
    assert one.state.tolist() == [1, 1]
    assert isinstance(ask(one, number=7).message, Answer)


def test_a_party_that_failed_answers_the_next_request():
    one = host(raiser(RuntimeError("no")))
    refused(ask(one, Note(0)), "failed")
    assert isinstance(ask(one, number=1).message, Answer)
