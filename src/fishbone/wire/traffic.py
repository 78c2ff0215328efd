"""Payload bytes by link and kind."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

from fishbone.wire.message import Envelope


class Key(NamedTuple):
    """One kind of message from one address to another."""

    sender: str
    receiver: str
    kind: str


class Traffic:
    """An observer that counts: bytes of the tensors of every message, once, when it is sent, without framing.

    A message that gets lost, comes too late or is refused was sent and counts; one that the policy does not let out,
    or that has nobody to go to, was not.

    Examples:
        >>> traffic = Traffic({("a", "b", "update"): 400, ("b", "a", "train"): 80})
        >>> traffic.total(), traffic.total(lambda key: key.sender == "a")
        (480, 400)

    Args:
        counted: what was counted before, as of a checkpoint.
    """

    def __init__(self, counted: Mapping[tuple[str, str, str], int] | None = None):
        self.bytes: Counter[Key] = Counter({Key(*key): count for key, count in (counted or {}).items()})

    def __call__(self, envelope: Envelope) -> None:
        self.bytes[Key(envelope.sender, envelope.receiver, envelope.message.kind)] += envelope.message.payload

    def total(self, wanted: Callable[[Key], bool] = lambda key: True) -> int:
        """Bytes of all links and kinds that are wanted."""
        return sum(count for key, count in self.bytes.items() if wanted(key))

    def take(self) -> Counter[Key]:
        """What was counted since the last call, or since the beginning."""
        taken, self.bytes = self.bytes, Counter()
        return taken
