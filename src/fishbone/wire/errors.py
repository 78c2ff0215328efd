"""What can go wrong between two parties; each error has a ``status``, the word under which rounds count it."""

from typing import ClassVar

from fishbone.errors import FishboneError

LONGEST_LINE = 300


class LinkError(FishboneError):
    """No usable answer from the other party."""

    status: ClassVar[str] = "failed"


class Unreachable(LinkError):
    """Nobody answers at this address."""

    status = "unreachable"


class Late(LinkError):
    """The answer had not come when the deadline was over."""

    status = "late"


class Replayed(LinkError):
    """The message, or one that was sent after it, has been there before."""

    status = "replayed"


class TooLarge(LinkError):
    """The frame, or something in it, is larger than the receiver takes."""

    status = "too_large"


class Malformed(LinkError):
    """The frame is no message, or not one that answers what was asked."""

    status = "malformed"


class Forbidden(LinkError):
    """The policy does not let this sender send this kind of message to this receiver."""

    status = "forbidden"


class Failed(LinkError):
    """The other party took the message and could not do what it asks for."""

    status = "failed"


BY_STATUS: dict[str, type[LinkError]] = {
    error.status: error for error in (Unreachable, Late, Replayed, TooLarge, Malformed, Forbidden, Failed)
}


def line(text: object) -> str:
    """Text from outside as one printable line of at most `LONGEST_LINE` characters, for errors and logs."""
    printable = "".join(character if character.isprintable() else " " for character in str(text))
    return " ".join(printable.split())[:LONGEST_LINE]
