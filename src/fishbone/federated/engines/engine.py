"""What a federation has of its parties: a way to ask them, the bytes that crossed, and their packed states."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fishbone.wire.actor import Link, Packed
from fishbone.wire.traffic import Traffic


class Parties(Protocol):
    """All parties' states, between two rounds."""

    def pack(self) -> dict[str, Packed]:
        """Address → the state of every party."""

    def unpack(self, states: Mapping[str, Packed]) -> None:
        """Inverse of `pack`, for the same parties."""


@dataclass(frozen=True, eq=False)
class Engine:
    """Parties that run somewhere.

    Args:
        link: the way in which the server asks parties.
        traffic: bytes that crossed, to be taken after each round.
        parties: packs all parties' states into checkpoints, and back.
        clock: the time in seconds, for the members' deadlines.
    """

    link: Link
    traffic: Traffic
    parties: Parties
    clock: Callable[[], float]
