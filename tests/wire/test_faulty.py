from contextlib import suppress

import pytest
import torch
from wire_parties import POLICY, Adder, Answer, Note, Question, content, question

from fishbone.errors import Failed, Late, Malformed, Replayed, TooLarge, Unreachable
from fishbone.wire.codec import Limits, decode
from fishbone.wire.memory import Memory
from fishbone.wire.message import Refusal
from fishbone.wire.testing import FakeClock, Fault, Faulty, faulty
from fishbone.wire.traffic import Traffic


def joined(*faults, observers=(), acts=(), **settings):
    carrier = Faulty(POLICY, observers, faults=faults, **settings)
    for address in ("w", "v"):
        carrier.attach(address, Adder(*acts))
    return carrier, carrier.link("a", "asker")


def total(carrier, address="w"):
    return carrier.pack()[address].tensors["sum"].tolist()


class TestClock:
    def test_time_passes_only_when_told(self):
        clock = FakeClock()
        assert clock() == 0
        clock.advance(1.5)
        clock.advance(0)
        clock.advance(2)
        assert clock() == 3.5

    @pytest.mark.parametrize("seconds", [-1e-9, float("nan")])
    def test_time_does_not_run_back(self, seconds):
        with pytest.raises(ValueError, match=r"^a clock does not run .* s on$"):
            FakeClock().advance(seconds)


class TestFault:
    def test_an_unknown_fault_is_refused(self):
        known = "drop, delay, repeat, reorder, corrupt, nan, raise"
        with pytest.raises(ValueError, match=f"^no fault 'lose'; there are {known}$"):
            Fault("lose")

    @pytest.mark.parametrize(("what", "seconds"), [("delay", 0), ("delay", -1), ("drop", 1)])
    def test_a_delay_and_nothing_else_has_seconds(self, what, seconds):
        with pytest.raises(ValueError, match=f"^{what} and {seconds} s: a delay, and nothing else, has seconds$"):
            Fault(what, seconds=seconds)

    @pytest.mark.parametrize(
        ("fault", "struck"),
        [
            (Fault("drop"), [0]),
            (Fault("drop", times=2), [0, 1]),
            (Fault("drop", times=None), [0, 1, 2, 3]),
            (Fault("drop", sender="a", after=2), [2]),
            (Fault("drop", sender="a", after=1, times=2), [1, 2]),
            (Fault("drop", sender="a", after=2, times=None), [2, 3]),
            (Fault("drop", after=3), [1]),
            (Fault("drop", kind="note", times=None), []),
            (Fault("drop", kind="question", sender="a", receiver="w", times=None), [0, 1, 2, 3]),
            (Fault("drop", sender="v", times=None), []),
            (Fault("drop", receiver="v", times=None), []),
        ],
    )
    def test_it_strikes_the_messages_that_it_is_for(self, fault, struck):
        carrier, link = joined(fault)
        lost = []
        for count in range(4):
            try:
                link.ask("w", question())
            except Unreachable:
                lost.append(count)
        assert lost == struck
        assert carrier.struck[fault] == len(struck)


def test_without_faults_it_is_the_carrier_in_memory():
    def run(carrier):
        carrier.attach("w", Adder())
        carrier.attach("v", Adder())
        return content(carrier.link("a", "asker").ask("w", Question(torch.tensor([0.1, -0.0]), "v"), deadline=1))

    assert run(Faulty(POLICY, faults=[])) == run(Memory(POLICY))


def test_it_hands_on_limits_and_observers():
    seen = []
    _, link = joined(observers=[seen.append], limits=Limits(header=10))
    with pytest.raises(TooLarge):
        link.ask("w", question())
    assert len(seen) == 1


class TestDrop:
    def test_a_lost_request_is_late_when_the_deadline_is_over_and_was_not_handled(self):
        carrier, link = joined(Fault("drop", kind="question"))
        with pytest.raises(Late, match=r"^no answer from w to question within 2 s$"):
            link.ask("w", question(), deadline=2)
        assert carrier.clock() == 2
        assert total(carrier) == [0, 0]
        assert link.ask("w", question(), deadline=2).values.tolist() == [1, 2]

    def test_a_lost_reply_is_late_when_the_deadline_is_over_and_was_handled(self):
        carrier, link = joined(Fault("drop", kind="answer"))
        with pytest.raises(Late):
            link.ask("w", question(), deadline=2)
        assert carrier.clock() == 2
        assert total(carrier) == [1, 2]

    def test_without_a_deadline_nobody_is_there(self):
        carrier, link = joined(Fault("drop"))
        with pytest.raises(Unreachable, match=r"^no answer from w, and no deadline to wait for$"):
            link.ask("w", question())
        assert carrier.clock() == 0

    def test_a_lost_message_was_sent_and_counts(self):
        traffic = Traffic()
        _, link = joined(Fault("drop", kind="question"), observers=[traffic])
        with pytest.raises(Unreachable):
            link.ask("w", question())
        assert traffic.bytes == {("a", "w", "question"): 8}

    def test_a_message_lost_further_on_is_the_failure_of_who_waited_for_it(self):
        carrier, link = joined(Fault("drop", sender="w", receiver="v"))
        with pytest.raises(Unreachable, match=r"^w: no answer from v"):
            link.ask("w", Question(torch.ones(2), "v"), deadline=5)
        assert carrier.clock() == 0

    def test_the_deadline_counts_what_has_passed_before(self):
        faults = [Fault("delay", kind="question", seconds=1.5), Fault("drop", kind="answer")]
        carrier, link = joined(*faults)
        carrier.clock.advance(10)
        with pytest.raises(Late):
            link.ask("w", question(), deadline=2)
        assert carrier.clock() == 12
        carrier, link = joined(*faults)
        with pytest.raises(Late):
            link.ask("w", question(), deadline=1)
        assert carrier.clock() == 1.5


class TestDelay:
    @pytest.mark.parametrize("kind", ["question", "answer"])
    def test_a_message_that_takes_longer_than_the_deadline_is_late(self, kind):
        carrier, link = joined(Fault("delay", kind=kind, seconds=3, times=2))
        with pytest.raises(Late):
            link.ask("w", question(), deadline=2)
        assert link.ask("w", question(), deadline=3).values.tolist() == [2, 4]
        assert carrier.clock() == 6

    def test_a_given_clock_is_moved(self):
        clock = FakeClock()
        clock.advance(1)
        _, link = joined(Fault("delay", seconds=3), clock=clock)
        link.ask("w", question())
        assert clock() == 4


class TestRepeat:
    def test_a_repeated_request_is_refused_and_the_first_reply_counts(self):
        seen = []
        carrier, link = joined(Fault("repeat", kind="question"), observers=[seen.append])
        assert link.ask("w", question()).values.tolist() == [1, 2]
        assert carrier.refused == {"replayed": 1}
        assert total(carrier) == [1, 2]
        assert [type(one.message) for one in seen] == [Question, Refusal, Answer]
        assert link.ask("w", question()).values.tolist() == [2, 4]

    def test_every_refusal_of_a_repeated_request_is_counted(self):
        carrier, link = joined(Fault("repeat", kind="question", times=3))
        for _ in range(4):
            link.ask("w", question())
        assert carrier.refused == {"replayed": 3}

    @pytest.mark.parametrize("what", ["drop", "corrupt"])
    def test_whether_the_refusal_of_a_repeated_request_arrives_is_nobodys_concern(self, what):
        carrier, link = joined(Fault("repeat", kind="question"), Fault(what, kind="refusal"))
        assert link.ask("w", question()).values.tolist() == [1, 2]
        assert carrier.struck.total() == 2
        assert carrier.refused == {}

    def test_a_repeated_reply_comes_in_place_of_the_next_one(self):
        carrier, link = joined(Fault("repeat", kind="answer"))
        assert link.ask("w", question()).values.tolist() == [1, 2]
        assert link.ask("v", question()).values.tolist() == [1, 2]
        with pytest.raises(Replayed, match=r"^reply 0 from w to request 1$"):
            link.ask("w", question())
        assert link.ask("w", question()).values.tolist() == [3, 6]
        assert carrier.refused == {}


class TestReorder:
    def test_a_request_that_comes_after_the_next_one_is_refused(self):
        carrier, link = joined(Fault("reorder", kind="question"))
        with pytest.raises(Late):
            link.ask("w", question(5, 5), deadline=1)
        assert link.ask("v", question()).values.tolist() == [1, 2]
        assert carrier.refused == {}
        assert link.ask("w", question()).values.tolist() == [1, 2]
        assert carrier.refused == {"replayed": 1}
        assert link.ask("w", question()).values.tolist() == [2, 4]
        assert carrier.refused == {"replayed": 1}

    def test_a_reply_that_comes_after_its_time_is_replayed(self):
        carrier, link = joined(Fault("reorder", kind="answer"))
        with pytest.raises(Late):
            link.ask("w", question(), deadline=1)
        with pytest.raises(Replayed, match=r"^reply 0 from w to request 1$"):
            link.ask("w", question())
        assert link.ask("w", question()).values.tolist() == [3, 6]
        assert carrier.refused == {}


class TestCorrupt:
    @pytest.mark.parametrize("seed", range(20))
    @pytest.mark.parametrize("kind", ["question", "answer"])
    def test_a_spoilt_frame_is_malformed(self, kind, seed):
        carrier, link = joined(Fault("corrupt", kind=kind), seed=seed)
        with pytest.raises(Malformed):
            link.ask("w", question())
        assert total(carrier) == ([0, 0] if kind == "question" else [1, 2])

    @pytest.mark.parametrize("seed", range(5))
    def test_one_byte_of_a_spoilt_frame_is_another_and_the_frame_no_text(self, seed, monkeypatch):
        def came(*faults):
            frames = []
            monkeypatch.setattr(faulty, "decode", lambda frame, *rest: frames.append(frame) or decode(frame, *rest))
            _, link = joined(*faults, seed=seed)
            with suppress(Malformed):
                link.ask("w", question())
            return frames[0]

        sent, spoilt = came(), came(Fault("corrupt"))
        assert len(spoilt) == len(sent)
        (place,) = [index for index in range(len(sent)) if spoilt[index] != sent[index]]
        assert spoilt[place] >= 128 > sent[place]


class TestNan:
    def test_one_number_of_the_first_tensor_of_floats_is_nan_on_arrival_only(self):
        sent = question(1, 2)
        _, link = joined(Fault("nan", kind="question"))
        assert link.ask("w", sent).values.isnan().sum() == 1
        assert sent.values.tolist() == [1, 2]

    def test_every_number_can_be_hit_and_the_seed_says_which(self):
        def hit(seed):
            _, link = joined(Fault("nan", kind="answer"), seed=seed)
            return tuple(link.ask("w", question()).values.isnan().tolist())

        assert {hit(seed) for seed in range(20)} == {(True, False), (False, True)}
        assert [hit(seed) for seed in range(9)] == [hit(seed) for seed in range(9)]

    def test_without_a_seed_it_is_that_of_0(self):
        def hits(**seed):
            _, link = joined(Fault("nan", kind="answer", times=None), **seed)
            return [tuple(link.ask("w", question()).values.isnan().tolist()) for _ in range(20)]

        assert hits() == hits(seed=0)

    def test_messages_without_floats_pass_by(self):
        def whole(state, request, link):
            return state, Answer(torch.arange(2))

        def empty(state, request, link):
            return state, Answer(torch.zeros(0))

        carrier, link = joined(Fault("nan"), acts=[whole, empty])
        assert link.ask("w", Note(0)).values.tolist() == [0, 1]
        assert link.ask("w", Note(1)).values.tolist() == []
        assert carrier.struck == {}
        assert link.ask("w", question()).values.isnan().sum() == 1
        assert carrier.struck == {Fault("nan"): 1}


class TestRaise:
    def test_the_actor_fails_and_keeps_its_state(self, caplog):
        carrier, link = joined(Fault("raise", receiver="w"))
        with pytest.raises(Failed, match=r"^w: RuntimeError: an injected fault$"):
            link.ask("w", question())
        assert total(carrier) == [0, 0]
        assert "an injected fault" in caplog.text
        assert link.ask("w", question()).values.tolist() == [1, 2]

    def test_replies_do_not_meet_it(self):
        carrier, link = joined(Fault("raise", kind="answer", times=None))
        assert link.ask("w", question()).values.tolist() == [1, 2]
        assert carrier.struck == {}


def test_states_of_parties_pack_and_unpack_as_on_other_carriers():
    carrier, link = joined()
    link.ask("w", question())
    again, link = joined()
    again.unpack(carrier.pack())
    assert link.ask("w", question()).values.tolist() == [2, 4]


def test_faults_of_one_message_add_up():
    carrier, link = joined(
        Fault("delay", kind="question", seconds=1), Fault("delay", sender="a", seconds=2), Fault("nan", kind="question")
    )
    assert link.ask("w", question()).values.isnan().any()
    assert carrier.clock() == 3
