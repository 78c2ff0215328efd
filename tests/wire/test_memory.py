import logging
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_parties import POLICY, Adder, Answer, Full, Note, Question, content, full, question

from fishbone.errors import Failed, Forbidden, Late, LinkError, Malformed, Replayed, TooLarge, Unreachable
from fishbone.wire.actor import Packed
from fishbone.wire.codec import Limits
from fishbone.wire.errors import BY_STATUS
from fishbone.wire.memory import Memory, answer
from fishbone.wire.message import Envelope, Refusal
from fishbone.wire.policy import Policy, Rule
from fishbone.wire.testing import FakeClock
from fishbone.wire.traffic import Traffic


def joined(*observers, acts=(), **settings):
    memory = Memory(POLICY, observers, **settings)
    for address in ("w", "v"):
        memory.attach(address, Adder(*acts))
    return memory, memory.link("a", "asker")


def raiser(error):
    def act(*_):
        raise error

    return act


def test_a_party_is_asked_by_its_address_and_keeps_its_own_state():
    _, link = joined()
    link.ask("w", question(1, 2))
    assert link.ask("w", question(10, 20)).values.tolist() == [11, 22]
    assert link.ask("v", question(5, 5)).values.tolist() == [5, 5]


def test_a_party_asks_another_through_the_link_that_it_is_handed():
    seen = []
    _, link = joined(seen.append)
    assert link.ask("w", Question(torch.ones(2), "v")).values.tolist() == [1, 1]
    assert [(one.sender, one.receiver, one.message.kind) for one in seen] == [
        ("a", "w", "question"),
        ("w", "v", "question"),
        ("v", "w", "answer"),
        ("w", "a", "answer"),
    ]


def test_requests_of_a_sender_to_a_receiver_are_numbered_and_replies_have_the_number():
    seen = []
    memory, link = joined(seen.append)
    other = memory.link("b", "asker")
    for asker, address in ((link, "w"), (link, "w"), (link, "v"), (other, "w"), (link, "w")):
        asker.ask(address, question())
    numbers = [(one.sender, one.receiver, one.number) for one in seen]
    assert numbers[::2] == [("a", "w", 0), ("a", "w", 1), ("a", "v", 0), ("b", "w", 0), ("a", "w", 2)]
    assert numbers[1::2] == [(receiver, sender, number) for sender, receiver, number in numbers[::2]]


@pytest.mark.parametrize("through_codec", [False, True])
def test_neither_side_has_the_others_tensors(through_codec):
    memory = Memory(POLICY, through_codec=through_codec)
    memory.attach("w", Adder())
    link = memory.link("a", "asker")
    values = torch.ones(2)
    reply = link.ask("w", Question(values)).values
    reply.zero_()
    values.zero_()
    assert link.ask("w", question(0, 0)).values.tolist() == [1, 1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(width=32), min_size=2, max_size=2), min_size=1, max_size=5), st.booleans())
def test_the_codec_changes_no_bit_of_a_run(numbers, chained):
    def run(through_codec):
        traffic = Traffic()
        memory, link = joined(traffic, through_codec=through_codec)
        replies = [link.ask("w", Question(torch.tensor(pair), "v" if chained else "")) for pair in numbers]
        states = memory.pack()
        return (
            [content(reply) for reply in replies],
            [content(Answer(states[name].tensors["sum"])) for name in "vw"],
            traffic.bytes,
        )

    assert run(True) == run(False)


@pytest.mark.parametrize("through_codec", [False, True])
def test_a_message_of_every_form_arrives_as_it_was_sent(through_codec):
    class Echo(Adder):
        def handle(self, state, request, link):
            return state, request.message

    memory = Memory(Policy([Rule(Full, "asker", "worker"), Rule(Full, "worker", "asker")]), through_codec=through_codec)
    memory.attach("w", Echo())
    assert content(memory.link("a", "asker").ask("w", full())) == content(full())


def test_frames_are_limited_with_the_codec():
    _, link = joined(through_codec=True, limits=Limits(header=250))
    assert link.ask("w", question()).values.tolist() == [1, 2]
    with pytest.raises(TooLarge):
        link.ask("w", Question(torch.zeros(2), "x" * 100))


def test_without_the_codec_there_is_no_frame_to_limit():
    _, link = joined(limits=Limits(frame=1))
    assert link.ask("w", question()).values.tolist() == [1, 2]


def test_a_message_with_a_value_of_another_type_is_the_senders_mistake():
    for through_codec in (False, True):
        traffic = Traffic()
        _, link = joined(traffic, through_codec=through_codec)
        with pytest.raises(ValueError, match=r"note: number"):
            link.ask("w", Note("3"))
        assert traffic.bytes == {}


class TestReaching:
    def test_nobody_answers_at_an_unknown_address(self):
        _, link = joined()
        with pytest.raises(Unreachable, match=r"^nobody answers at x$"):
            link.ask("x", question())

    def test_nobody_answers_where_a_party_was_detached_and_another_may_come(self):
        memory, link = joined()
        link.ask("w", question())
        memory.detach("w")
        with pytest.raises(Unreachable, match=r"^nobody answers at w$"):
            link.ask("w", question())
        memory.attach("w", Adder())
        assert link.ask("w", question(7, 7)).values.tolist() == [7, 7]

    def test_a_message_to_nobody_is_neither_seen_nor_counted(self):
        seen = []
        memory, link = joined(seen.append)
        memory.detach("w")
        with pytest.raises(Unreachable):
            link.ask("w", question())
        assert seen == []

    def test_nobody_is_detached_twice(self):
        memory, _ = joined()
        memory.detach("w")
        with pytest.raises(ValueError, match=r"^no party at w$"):
            memory.detach("w")

    def test_an_address_has_one_party(self):
        memory, _ = joined()
        with pytest.raises(ValueError, match=r"^w cannot be worker: a party of role worker has this address$"):
            memory.attach("w", Adder())
        with pytest.raises(ValueError, match=r"^w cannot be asker: a party of role worker has this address$"):
            memory.link("w", "asker")
        with pytest.raises(ValueError, match=r"^w cannot be worker"):
            memory.link("w", "worker")

    def test_an_address_has_one_role(self):
        memory, _ = joined()
        with pytest.raises(ValueError, match=r"^a cannot be worker: a party of role asker has this address$"):
            memory.link("a", "worker")
        with pytest.raises(ValueError, match=r"^a cannot be worker"):
            memory.attach("a", Adder())
        assert memory.link("a", "asker").ask("w", question()).values.tolist() == [1, 2]
        assert memory.roles == {"w": "worker", "v": "worker", "a": "asker"}

    def test_a_reply_that_the_policy_forbids_is_not_taken_even_if_the_party_did_not_send_it(self):
        class Forging(Memory):
            def exchange(self, request):
                return replace(super().exchange(request), message=question())

        memory = Forging(POLICY)
        memory.attach("w", Adder())
        with pytest.raises(Forbidden, match=r"^question from w \(worker\) to a \(asker\)$"):
            memory.link("a", "asker").ask("w", question())

    def test_what_the_policy_forbids_is_not_sent(self):
        seen = []
        _, link = joined(seen.append)
        with pytest.raises(Forbidden, match=r"^answer from a \(asker\) to w \(worker\)$"):
            link.ask("w", Answer(torch.ones(2)))
        assert seen == []


class TestRefusals:
    @pytest.mark.parametrize("error", BY_STATUS.values())
    def test_the_status_of_a_party_that_was_asked_in_turn_reaches_who_asked_first(self, error):
        def pass_on(state, request, link):
            return state, link.ask("v", question())

        class Raises(Adder):
            def handle(self, state, request, link):
                raise error("the reason")

        memory, link = joined(acts=[pass_on])
        memory.detach("v")
        memory.attach("v", Raises())
        with pytest.raises(error, match=r"^w: v: the reason$") as raised:
            link.ask("w", Note(0))
        assert type(raised.value) is error

    def test_an_actor_that_raises_has_failed_and_the_run_goes_on(self, caplog):
        _, link = joined(acts=[raiser(ZeroDivisionError("by zero"))])
        with caplog.at_level(logging.ERROR), pytest.raises(Failed, match=r"^w: ZeroDivisionError: by zero$"):
            link.ask("w", Note(0))
        assert "by zero" in caplog.text
        assert link.ask("w", question()).values.tolist() == [1, 2]

    def test_an_actor_may_go_on_without_the_party_that_it_asked(self):
        def alone(state, request, link):
            with pytest.raises(Unreachable):
                link.ask("nobody", question())
            return state + 1, Note(4)

        _, link = joined(acts=[alone])
        assert link.ask("w", Note(0)).number == 4

    def test_an_actor_may_not_ask_itself(self):
        def itself(state, request, link):
            return state, link.ask("w", question())

        _, link = joined(acts=[itself])
        with pytest.raises(Failed, match=r"^w: w: w is asked while it answers"):
            link.ask("w", Note(0))

    def test_a_refusal_is_seen_by_observers(self):
        seen = []
        _, link = joined(seen.append, acts=[raiser(Late("too slow"))])
        with pytest.raises(Late):
            link.ask("w", Note(0))
        assert isinstance(seen[1].message, Refusal)
        assert (seen[1].sender, seen[1].receiver, seen[1].message.reason) == ("w", "a", "too slow")


class TestDeadlines:
    @pytest.mark.parametrize(("seconds", "late"), [(1.0, False), (2.0, False), (2.5, True)])
    def test_a_reply_is_late_when_more_than_the_deadline_has_passed(self, seconds, late):
        clock = FakeClock()
        clock.advance(100)

        def slow(state, request, link):
            clock.advance(seconds)
            return state + 1, Note(0)

        memory, link = joined(acts=[slow], clock=clock)
        if late:
            with pytest.raises(Late, match=r"^w answered note too late: the deadline was 2 s$"):
                link.ask("w", Note(0), deadline=2)
        else:
            assert link.ask("w", Note(0), deadline=2).number == 0
        assert memory.pack()["w"].tensors["sum"].tolist() == [1, 1]
        assert link.ask("w", Note(0)).number == 0

    @pytest.mark.parametrize("deadline", [0, -1.5, float("nan")])
    def test_with_a_deadline_that_is_over_nobody_is_asked(self, deadline):
        seen = []
        _, link = joined(seen.append)
        with pytest.raises(Late, match=f"^w is not asked for question: the deadline of {deadline:g} s is over$"):
            link.ask("w", question(), deadline)
        assert seen == []

    def test_the_deadline_of_who_asked_first_holds_for_what_is_asked_in_turn(self):
        clock = FakeClock()

        class Slow(Adder):
            def handle(self, state, request, link):
                clock.advance(3)
                return super().handle(state, request, link)

        memory, link = joined(clock=clock)
        memory.detach("v")
        memory.attach("v", Slow())
        assert link.ask("w", Question(torch.ones(2), "v"), deadline=3).values.tolist() == [1, 1]
        with pytest.raises(Late):
            link.ask("w", Question(torch.ones(2), "v"), deadline=2.9)

    def test_time_is_the_machines_when_no_clock_is_given(self):
        _, link = joined()
        assert link.ask("w", question(), deadline=600).values.tolist() == [1, 2]
        with pytest.raises(Late):
            link.ask("w", question(), deadline=1e-12)


class TestObservers:
    def test_all_of_them_see_requests_and_replies_before_they_are_handled(self):
        order = []

        def act(state, request, link):
            order.append("handled")
            return state, Note(1)

        _, link = joined(
            lambda one: order.append(f"first {one.sender}"),
            lambda one: order.append(f"second {one.sender}"),
            acts=[act],
        )
        link.ask("w", Note(0))
        assert order == ["first a", "second a", "handled", "first w", "second w"]

    def test_a_message_counts_once_with_the_codec_and_without(self):
        for through_codec in (False, True):
            traffic = Traffic()
            _, link = joined(traffic, through_codec=through_codec)
            link.ask("w", Question(torch.ones(2, dtype=torch.float64), ""))
            assert traffic.bytes == {("a", "w", "question"): 16, ("w", "a", "answer"): 16}

    @pytest.mark.parametrize("through_codec", [False, True])
    def test_a_link_error_of_an_observer_stops_the_message_and_who_asked_gets_it(self, through_codec):
        def no_questions_to_w(one):
            if (one.receiver, one.message.kind) == ("w", "question"):
                raise Forbidden("not this one")

        memory, link = joined(no_questions_to_w, through_codec=through_codec)
        with pytest.raises(Forbidden, match=r"^not this one$"):
            link.ask("w", question())
        assert memory.pack()["w"].tensors["sum"].tolist() == [0, 0]
        with pytest.raises(Forbidden, match=r"^v: not this one$"):
            link.ask("v", Question(torch.ones(2), "w"))
        assert link.ask("v", question()).values.tolist() == [1, 2]

    @pytest.mark.parametrize("through_codec", [False, True])
    @pytest.mark.parametrize("sent", ["question to w", "question to v", "answer to w", "answer to a"])
    def test_any_other_exception_of_an_observer_ends_the_run_as_it_is(self, sent, through_codec, caplog):
        found = ValueError("a raw image")

        def audit(one):
            if f"{one.message.kind} to {one.receiver}" == sent:
                raise found

        _, link = joined(audit, through_codec=through_codec)
        with pytest.raises(ValueError, match=r"^a raw image$") as raised:
            link.ask("w", Question(torch.ones(2), "v"))
        assert raised.value is found
        assert raised.value.__context__ is None
        assert caplog.records == []

    def test_an_actor_cannot_hide_what_an_observer_found(self):
        def deaf(state, request, link):
            try:
                return state, link.ask("v", question())
            except Exception:
                return state, Note(0)

        def audit(one):
            if one.receiver == "v":
                raise ValueError("a raw image")

        memory, link = joined(audit, acts=[deaf])
        with pytest.raises(ValueError, match=r"^a raw image$"):
            link.ask("w", Note(0))
        assert memory.link("b", "asker").ask("w", question()).values.tolist() == [1, 2]


class TestStates:
    def test_a_run_goes_on_from_packed_states_as_if_it_had_not_stopped(self):
        memory, link = joined()
        link.ask("w", question(1, 2))
        states = memory.pack()
        assert {address: packed.tensors["sum"].tolist() for address, packed in states.items()} == {
            "w": [1, 2],
            "v": [0, 0],
        }
        assert states["w"].values == {"acts": 0}
        again, link = joined()
        again.unpack(states)
        assert link.ask("w", question(1, 1)).values.tolist() == [2, 3]

    def test_states_of_other_parties_are_refused(self):
        memory, _ = joined()
        states = memory.pack()
        for wrong in ({"w": states["w"]}, {**states, "x": states["w"]}):
            with pytest.raises(ValueError, match=r"^states of \[.*\] for \['v', 'w'\]$"):
                memory.unpack(wrong)

    def test_a_packed_state_may_be_empty(self):
        assert (Packed().tensors, Packed().values) == ({}, {})


class TestAnswer:
    request = Envelope("a", "w", 3, question())
    reply = Envelope("w", "a", 3, Note(1))

    def test_the_message_of_a_reply_to_the_request(self):
        assert answer(self.request, self.reply) is self.reply.message

    @pytest.mark.parametrize(("field", "value"), [("sender", "v"), ("receiver", "b")])
    def test_a_reply_of_or_to_another_party_is_malformed(self, field, value):
        with pytest.raises(Malformed, match=r"^a reply from . to ., asked was w$"):
            answer(self.request, replace(self.reply, **{field: value}))

    @pytest.mark.parametrize("number", [2, 4])
    def test_a_reply_to_another_request_is_replayed(self, number):
        with pytest.raises(Replayed, match=f"^reply {number} from w to request 3$"):
            answer(self.request, replace(self.reply, number=number))

    @pytest.mark.parametrize(("status", "error"), [*BY_STATUS.items(), ("bribed", Failed)])
    def test_a_refusal_is_raised_as_what_it_says(self, status, error):
        with pytest.raises(LinkError, match=r"^w: the reason$") as raised:
            answer(self.request, replace(self.reply, message=Refusal(status, "the\n reason")))
        assert type(raised.value) is error
