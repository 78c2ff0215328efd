"""The errors of links by their status, the word under which rounds count them and refusals name them."""

from fishbone.errors import (
    DivergedError,
    Failed,
    Forbidden,
    Late,
    LinkError,
    Malformed,
    Rejected,
    Replayed,
    TooLarge,
    Unreachable,
)

LONGEST_LINE = 300

BY_STATUS: dict[str, type[LinkError]] = {
    error.status: error
    for error in (Unreachable, Late, Replayed, TooLarge, Malformed, Forbidden, Failed, Rejected, DivergedError)
}


def line(text: object) -> str:
    """Text from outside as one printable line of at most `LONGEST_LINE` characters, for errors and logs."""
    printable = "".join(character if character.isprintable() else " " for character in str(text))
    return " ".join(printable.split())[:LONGEST_LINE]
