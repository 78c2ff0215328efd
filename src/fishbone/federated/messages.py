"""What crosses between server, devices, parties and label holders: frozen values, tensors by name.

``kind`` says what the tensors of a message are (for the byte counts). Receivers must
not write into received tensors: a transport inside one process hands over the sender's own.
"""

from dataclasses import dataclass, fields
from typing import ClassVar

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Train:
    """Server → horizontal device or label holder: train from these weights; answered by `Update`."""

    kind: ClassVar = "weights"
    round: int
    weights: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Begin:
    """Server → party: take these weights and wait for the label holder; answered by `Done`."""

    kind: ClassVar = "weights"
    round: int
    weights: dict[str, Tensor]


@dataclass(frozen=True)
class Finish:
    """Server → party: the session is over; answered by `Update`."""

    kind: ClassVar = "control"
    round: int


@dataclass(frozen=True, eq=False)
class Update:
    """Trained weights, under the global network's names.

    ``loss`` is the mean training loss of the last local epoch in nats; None from a party, which sees no labels.
    """

    kind: ClassVar = "weights"
    sender: str
    round: int
    weights: dict[str, Tensor]
    loss: float | None


@dataclass(frozen=True)
class EmbeddingRequest:
    """Label holder → party: embed the samples of this step; answered by `Embedding`."""

    kind: ClassVar = "control"
    round: int
    step: int


@dataclass(frozen=True, eq=False)
class Embedding:
    """``values``: (B, embedding) float32."""

    kind: ClassVar = "embeddings"
    round: int
    step: int
    values: Tensor


@dataclass(frozen=True, eq=False)
class EmbeddingGradient:
    """Label holder → party: dL/d(embedding), (B, embedding) float32; answered by `Done`."""

    kind: ClassVar = "embeddings"
    round: int
    step: int
    values: Tensor


@dataclass(frozen=True)
class Done:
    kind: ClassVar = "control"


Message = Train | Begin | Finish | Update | EmbeddingRequest | Embedding | EmbeddingGradient | Done


def payload_bytes(message: Message) -> int:
    """Bytes of the tensors in a message, without framing."""
    total = 0
    for field in fields(message):
        match getattr(message, field.name):
            case Tensor() as tensor:
                total += tensor.nbytes
            case dict() as weights:
                total += sum(tensor.nbytes for tensor in weights.values())
    return total
