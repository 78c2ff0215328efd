"""How much time is left for all that a party asks on one occasion."""

from collections.abc import Callable
from dataclasses import dataclass

from fishbone.wire.actor import Link
from fishbone.wire.message import Message


class Deadline:
    """One deadline for several questions.

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


@dataclass(frozen=True)
class Within:
    """A `Link` on which every question gets what is left of one deadline.

    Args:
        link: the party's link, which does the asking.
        common: the deadline of all that is asked here; a question may have an earlier one of its own.
    """

    link: Link
    common: Deadline

    def ask(self, address: str, message: Message, deadline: float | None = None) -> Message:
        """See `Link.ask`."""
        known = [seconds for seconds in (deadline, self.common.left()) if seconds is not None]
        return self.link.ask(address, message, min(known, default=None))
