"""The errors of links by their status, the word under which rounds count them and refusals name them."""

from fishbone.errors import Failed, Forbidden, Late, LinkError, Malformed, Replayed, TooLarge, Unreachable

__all__ = ["BY_STATUS", "Failed", "Forbidden", "Late", "LinkError", "Malformed", "Replayed", "TooLarge", "Unreachable"]

BY_STATUS: dict[str, type[LinkError]] = {
    error.status: error for error in (Unreachable, Late, Replayed, TooLarge, Malformed, Forbidden, Failed)
}
