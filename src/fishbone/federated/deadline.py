"""How much of its time a member has left."""

from collections.abc import Callable


class Deadline:
    """One deadline for all that is asked of a member in a round.

    Args:
        seconds: from now on; None is as long as it takes.
        clock: the time in seconds.
    """

    def __init__(self, seconds: float | None, clock: Callable[[], float]):
        self.clock = clock
        self._ends = None if seconds is None else clock() + seconds

    def left(self) -> float | None:
        """Seconds left, for a link to ask with: one that has none left to wait does not ask, but is `Late`."""
        return None if self._ends is None else self._ends - self.clock()
