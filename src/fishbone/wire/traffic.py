"""Payload bytes by link and kind."""

from collections import Counter
from collections.abc import Mapping

from fishbone.wire.message import Envelope

Key = tuple[str, str, str]  # sender, receiver, kind


class Traffic:
    """An observer that counts: bytes of the tensors of every message that was sent, without framing.

    Args:
        counted: what was counted before, as of a checkpoint.
    """

    def __init__(self, counted: Mapping[Key, int] = {}):  # noqa: B006: only read
        self.bytes: Counter[Key] = Counter(counted)

    def __call__(self, envelope: Envelope) -> None:
        self.bytes[envelope.sender, envelope.receiver, envelope.message.kind] += envelope.message.payload

    def take(self) -> Counter[Key]:
        """What was counted since the last call, or since the beginning."""
        taken, self.bytes = self.bytes, Counter()
        return taken
