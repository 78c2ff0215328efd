"""What crosses between server, horizontal devices, parties and label holders, and who may send it to whom.

Tensors go under the global network's names. ``beside`` is what a method sends with the weights, such as SCAFFOLD's
control variates: tensors under the names of weights, so that each party gets those of its part of the network.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from fishbone.federated.work import LocalWork
from fishbone.wire.message import Message
from fishbone.wire.policy import Policy, Rule

What = Literal["loss", "embedding", "gradient"]
NotFinite = Literal["nan", "inf", "-inf"]


@dataclass(frozen=True)
class NamedMethod:
    """A method as it is sent: its name in the receiver's table of methods, and its settings."""

    name: str
    settings: dict[str, bool | int | float | str]


@dataclass(frozen=True, eq=False)
class Train(Message):
    """Server → horizontal device or label holder: train from these weights; answered by `Update` or `Diverged`.

    ``counted`` is the last round whose update the server took from this member, 0 if there is none: what the method
    left on the device in a later one does not count.
    """

    kind = "train"
    round: int
    counted: int
    weights: dict[str, Tensor]
    beside: dict[str, Tensor]
    work: LocalWork
    method: NamedMethod


@dataclass(frozen=True, eq=False)
class Begin(Message):
    """Server → party: take these weights and wait for the label holder; answered by `Done`. Fields as of `Train`."""

    kind = "begin"
    round: int
    counted: int
    weights: dict[str, Tensor]
    beside: dict[str, Tensor]
    work: LocalWork
    method: NamedMethod


@dataclass(frozen=True, eq=False)
class Finish(Message):
    """Server → party: the session is over; answered by `Update`."""

    kind = "finish"
    round: int


@dataclass(frozen=True, eq=False)
class Update(Message):
    """Trained weights, and what the method sends back: names, shapes and types are those of what was sent.

    ``loss`` is the mean training loss of the last local epoch in nats; None from a party, which sees no labels.
    """

    kind = "update"
    round: int
    weights: dict[str, Tensor]
    beside: dict[str, Tensor]
    loss: float | None


@dataclass(frozen=True, eq=False)
class EmbeddingRequest(Message):
    """Label holder → party: embed the samples of this step; answered by `Embedding` or `Diverged`."""

    kind = "embedding_request"
    round: int
    step: int


@dataclass(frozen=True, eq=False)
class Embedding(Message):
    """Party → label holder: (B, embedding) float32."""

    kind = "embedding"
    round: int
    step: int
    embedding: Tensor


@dataclass(frozen=True, eq=False)
class EmbeddingGradient(Message):
    """Label holder → party: dL/d(embedding), (B, embedding) float32; answered by `Done`."""

    kind = "embedding_gradient"
    round: int
    step: int
    gradient: Tensor


@dataclass(frozen=True, eq=False)
class Done(Message):
    """It was done, and there is nothing to say about it."""

    kind = "done"


@dataclass(frozen=True, eq=False)
class Diverged(Message):
    """Training came to a number that is not finite. It is said in numbers: a text would come from a stranger.

    ``epoch`` (None in a group's session, which counts its steps through) and ``step`` are counted from 1.
    """

    kind = "diverged"
    round: int
    epoch: int | None
    step: int
    what: What
    value: NotFinite


SERVER = "server"  # the address, and the role
HORIZONTAL, PARTY, LABEL_HOLDER = "horizontal", "party", "label_holder"

POLICY = Policy(
    [
        Rule(Train, SERVER, HORIZONTAL),
        Rule(Update, HORIZONTAL, SERVER),
        Rule(Diverged, HORIZONTAL, SERVER),
        Rule(Train, SERVER, LABEL_HOLDER),
        Rule(Update, LABEL_HOLDER, SERVER),
        Rule(Diverged, LABEL_HOLDER, SERVER),
        Rule(Begin, SERVER, PARTY),
        Rule(Finish, SERVER, PARTY),
        Rule(Done, PARTY, SERVER),
        Rule(Update, PARTY, SERVER),
        Rule(EmbeddingRequest, LABEL_HOLDER, PARTY),
        Rule(EmbeddingGradient, LABEL_HOLDER, PARTY),
        Rule(Embedding, PARTY, LABEL_HOLDER),
        Rule(Diverged, PARTY, LABEL_HOLDER),
        Rule(Done, PARTY, LABEL_HOLDER),
    ]
)
