"""What the engine asks of a method, at the server and on the devices.

A method is a frozen dataclass whose fields are numbers and texts: the server has one, and sends its name and fields
with each round, from which a device makes its own. So it has no state; what changes is handed to it: the server's
memory (momentum, SCAFFOLD's c), which a checkpoint keeps, and each device's (SCAFFOLD's c_k), which the device keeps.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar, Protocol

from torch import Tensor, nn

from fishbone.federated.messages import NamedMethod
from fishbone.federated.roles import Role
from fishbone.federated.work import LocalWork
from fishbone.nn.averages import weighted_mean

Tensors = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class ServerState:
    """What the server holds between two rounds.

    Args:
        weights: the global network's, by name.
        memory: what the method keeps between rounds, by name.
        counted: member → the last round whose update was taken; the engine's, methods leave it out.
    """

    weights: Tensors
    memory: Tensors
    counted: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Trained:
    """What one member made of a round: the weights, what it sends beside them, and its mean loss in nats."""

    weights: Tensors
    beside: Tensors
    loss: float


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of a round by member, and each one's share p_k; the shares add up to 1.

    ``asked`` is how many members there were, with those that were left out.
    """

    asked: int
    shares: Mapping[str, Fraction]
    trained: Mapping[str, Trained]

    def mean(self) -> Tensors:
        """Σ p_k · weights of member k, float64."""
        return weighted_mean({member: (self.shares[member], one.weights) for member, one in self.trained.items()})

    def mean_beside(self) -> Tensors:
        """Σ p_k · what member k sent beside, float64."""
        return weighted_mean({member: (self.shares[member], one.beside) for member, one in self.trained.items()})

    def mean_loss(self) -> float:
        """Σ p_k · loss of member k, nats."""
        return sum(float(self.shares[member]) * self.trained[member].loss for member in sorted(self.trained))


@dataclass(frozen=True, eq=False)
class Local:
    """What a method sees of one device's training in one round.

    Args:
        parameters: those that are trained; when gradients are corrected, each has one in ``.grad``.
        sent: the weights that the round began with.
        beside: what the server sent with them.
        memory: what the method left on this device in the last round that counted for it; empty at first.
        work: what the device was asked to do.
    """

    parameters: Mapping[str, nn.Parameter]
    sent: Tensors
    beside: Tensors
    memory: Tensors
    work: LocalWork


class Method(Protocol):
    """A federated method. ``name`` is its key in the tables of server and devices."""

    name: ClassVar[str]

    def weigh(self, roles: Sequence[Role]) -> dict[str, Fraction]:
        """Member id → its share p_k among these members."""

    def begin(self, weights: Tensors) -> Tensors:
        """The server's memory before the first round."""

    def beside(self, memory: Tensors) -> Tensors:
        """What is sent beside the weights, under names of weights; as much comes back."""

    def step(self, round_: int, state: ServerState, answers: Answers) -> ServerState:
        """The server after round ``round_``, from 1."""

    def correct(self, local: Local) -> None:
        """On the device, before each step of the optimiser: change the gradients in place, or leave them."""

    def end(self, local: Local, steps: int) -> tuple[Tensors, Tensors]:
        """On the device, after ``steps`` steps: what goes back beside the weights, and the device's memory."""


def named(method: Method) -> NamedMethod:
    """A method as it is sent."""
    settings = dataclasses.fields(method)  # type: ignore[arg-type]  # a protocol cannot say that it is a dataclass
    return NamedMethod(method.name, {each.name: getattr(method, each.name) for each in settings})
