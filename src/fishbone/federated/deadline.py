"""How much of its time a member has left."""

from collections.abc import Callable

from fishbone.wire.errors import Late


class Deadline:
    """One deadline for all that is asked of a member in a round.

    Args:
        seconds: from now on; None is as long as it takes.
        clock: the time in seconds.
    """

    def __init__(self, seconds: float | None, clock: Callable[[], float]):
        self.seconds, self.clock = seconds, clock
        self._ends = None if seconds is None else clock() + seconds

    def left(self) -> float | None:
        """Seconds left.

        Raises:
            Late: none are.
        """
        if self._ends is None:
            return None
        left = self._ends - self.clock()
        if left <= 0:
            raise Late(f"the deadline of {self.seconds:g} s for a round is over")
        return left
