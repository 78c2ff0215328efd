import pytest
import torch
from wire_parties import Note, question

from fishbone.errors import Malformed
from fishbone.wire.checks import alike, difference, finite, of_kind
from fishbone.wire.deadline import Deadline, Within
from fishbone.wire.message import Refusal
from fishbone.wire.testing import FakeClock

PATTERN = {"w": torch.zeros(3), "b": torch.zeros(1)}


def test_a_reply_is_what_it_is():
    note = Note(3)
    assert of_kind(note, Note, "w") is note
    with pytest.raises(Malformed, match=r"^w answered note, not refusal$"):
        of_kind(note, Refusal, "w")


@pytest.mark.parametrize(("value", "known"), [(1.0, True), (float("nan"), False), (float("-inf"), False)])
def test_finite_is_neither_nan_nor_infinite(value, known):
    assert finite(torch.tensor([0.0, value])) is known


@pytest.mark.parametrize(
    ("tensors", "problem"),
    [
        (PATTERN, None),
        ({name: value + 1 for name, value in PATTERN.items()}, None),
        ({"w": PATTERN["w"]}, "['w'] for ['b', 'w']"),
        (PATTERN | {"w": torch.zeros(4)}, "w (4,) torch.float32 for (3,) torch.float32"),
        (PATTERN | {"w": torch.zeros(3).double()}, "w (3,) torch.float64 for (3,) torch.float32"),
        (PATTERN | {"b": torch.full((1,), float("nan"))}, "b is not finite"),
        (PATTERN | {"b": torch.full((1,), float("inf"))}, "b is not finite"),
    ],
)
def test_tensors_are_alike_or_their_difference_is_told(tensors, problem):
    assert difference(tensors, PATTERN) == problem
    assert alike(tensors, PATTERN) == (problem is None)


@pytest.mark.parametrize(
    ("common", "own", "asked"),
    [(None, None, None), (5.0, None, 3.0), (None, 4.0, 4.0), (5.0, 4.0, 3.0), (9.0, 4.0, 4.0)],
)
def test_a_question_has_what_is_left_of_the_common_deadline_and_never_more_than_its_own(common, own, asked):
    class Link:
        def ask(self, address, message, deadline=None):
            return address, message.kind, deadline

    clock = FakeClock()
    within = Within(Link(), Deadline(common, clock))
    clock.advance(2.0)
    assert within.ask("w", question(), own) == ("w", "question", asked)
