"""What rounds cost and who was left out of them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from fishbone.federated.messages import Embedding, EmbeddingGradient
from fishbone.federated.roles import HorizontalRole, Role
from fishbone.wire.traffic import Key


@dataclass(frozen=True)
class Counts:
    """Payload bytes in both directions, and members left out by status; sums over rounds."""

    bytes_horizontal: int = 0
    bytes_vertical_weights: int = 0
    bytes_vertical_embeddings: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.bytes_horizontal + other.bytes_horizontal,
            self.bytes_vertical_weights + other.bytes_vertical_weights,
            self.bytes_vertical_embeddings + other.bytes_vertical_embeddings,
            dict(Counter(self.left_out) + Counter(other.left_out)),
        )

    @property
    def bytes_vertical(self) -> int:
        """All bytes that crossed in vertical groups."""
        return self.bytes_vertical_weights + self.bytes_vertical_embeddings

    def metrics(self) -> dict[str, int]:
        """As ``metrics.json`` has them: a status other than unreachable and rejected is there only if it occurred."""
        counted = asdict(self)
        left_out = {"unreachable": 0, "rejected": 0} | counted.pop("left_out")
        members = {f"members_{status}": count for status, count in left_out.items()}
        return counted | {"bytes_vertical": self.bytes_vertical} | members


def count(traffic: Mapping[Key, int], roles: Iterable[Role], left_out: Mapping[str, str]) -> Counts:
    """The counts of one round.

    Args:
        traffic: payload bytes by (sender, receiver, kind).
        roles: all members, those left out too.
        left_out: member → status of the error it was left out for.
    """
    horizontal = {role.id for role in roles if isinstance(role, HorizontalRole)}
    sums: Counter[str] = Counter()
    for (sender, receiver, kind), size in traffic.items():
        if horizontal & {sender, receiver}:
            sums["bytes_horizontal"] += size
        elif kind in (Embedding.kind, EmbeddingGradient.kind):
            sums["bytes_vertical_embeddings"] += size
        else:
            sums["bytes_vertical_weights"] += size
    return Counts(**sums, left_out=dict(Counter(left_out.values())))
