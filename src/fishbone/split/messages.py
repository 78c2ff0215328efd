"""What the parties of a split network say to each other, and who may say it.

A session is one round of a coordinator: it sends every party of a chain its weights (`Begin`), somebody feeds the chain
(`Activation` there, `Gradient` back, once a pass), and the coordinator takes the weights back (`Finish`).
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from fishbone.nn.optimiser import Optimiser
from fishbone.wire.message import Message
from fishbone.wire.policy import Rule

# Roles: a chain's first party, which has the data, and the others.
OWNER, HELPER = "owner", "helper"

What = Literal["loss", "largest activation", "largest gradient"]


@dataclass(frozen=True, eq=False)
class Begin(Message):
    """Start a session with these weights.

    Args:
        round: the session's number, from 1.
        base: the last session that counted for this chain; its optimiser's state is gone on from. 0 is a fresh one.
        optimiser: how the weights are stepped.
        deadline: seconds that the receiver may take for all that it asks of others to answer one question of this
            session; None is as long as it takes.
        weights: of the receiver's layers, by the names of the whole network.
    """

    kind = "begin"
    round: int
    base: int
    optimiser: Optimiser
    deadline: float | None
    weights: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Begun(Message):
    """The session ``round`` has started.

    Args:
        round: the session's number, as in the `Begin` that this answers.
        base: the `Begin`'s own; 0 where the sender does not know that session any more, so that it starts afresh.
    """

    kind = "begun"
    round: int
    base: int


@dataclass(frozen=True, eq=False)
class Activation(Message):
    """The input (B, …) of the receiver's layers in the pass ``purpose`` of step ``step``."""

    kind = "activation"
    step: int
    purpose: str
    value: Tensor


@dataclass(frozen=True, eq=False)
class Gradient(Message):
    """The answer to an `Activation`: dL/d(value), of its shape, and the loss L that the chain's last party found."""

    kind = "gradient"
    loss: float
    value: Tensor


@dataclass(frozen=True, eq=False)
class Diverged(Message):
    """The answer in place of a gradient where training came to a number that is not finite; the session is spoilt.

    Args:
        what: the number; the sender of an activation or of a gradient looks at it before it leaves.
        value: what it came to, NaN or infinite.
    """

    kind = "diverged"
    what: What
    value: float


@dataclass(frozen=True, eq=False)
class Finish(Message):
    """End the session ``round``."""

    kind = "finish"
    round: int


@dataclass(frozen=True, eq=False)
class Update(Message):
    """The answer to `Finish`: the weights of the sender's layers now, by the names of the whole network."""

    kind = "update"
    round: int
    weights: dict[str, Tensor]


def rules(coordinator: str) -> set[Rule]:
    """All that may be said along chains that begin with an owner of data and go on over helpers.

    Args:
        coordinator: role of who starts and ends sessions; it may be the owner's.
    """
    parties = {OWNER, HELPER} - {coordinator}
    sessions = {Rule(message, coordinator, party) for message in (Begin, Finish) for party in parties}
    answers = {Rule(message, party, coordinator) for message in (Begun, Update) for party in parties}
    forth = {Rule(Activation, sender, HELPER) for sender in (OWNER, HELPER)}
    back = {Rule(message, HELPER, receiver) for message in (Gradient, Diverged) for receiver in (OWNER, HELPER)}
    return sessions | answers | forth | back
