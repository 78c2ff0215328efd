from fishbone.wire.deadline import Deadline
from fishbone.wire.testing import FakeClock


def test_what_is_left_falls_with_the_time_and_below_zero():
    clock = FakeClock()
    clock.advance(100.0)
    deadline = Deadline(2.5, clock)
    assert deadline.left() == 2.5
    clock.advance(2.0)
    assert deadline.left() == 0.5
    clock.advance(1.0)
    assert deadline.left() == -0.5


def test_without_a_deadline_it_may_take_as_long_as_it_takes():
    assert Deadline(None, FakeClock()).left() is None
