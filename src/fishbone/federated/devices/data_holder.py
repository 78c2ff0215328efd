"""What horizontal devices, parties and label holders share: their part of the network, and what they keep.

A data holder is configuration and data. A round's training works on a copy of its module, and what a method leaves
behind for the next round is in `Kept`, which packs.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from fishbone.errors import Malformed, Replayed
from fishbone.federated.checks import alike
from fishbone.federated.messages import Begin, NamedMethod, Train, Update
from fishbone.federated.methods.protocol import Local, Method, Tensors
from fishbone.wire.actor import Packed


@dataclass(frozen=True, eq=False)
class Kept:
    """Between rounds: the last one that the holder took part in, and what the method left on it."""

    round: int = 0
    memory: Tensors = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class LocalTraining:
    """One holder's training in one round: a module of its own, and the method's view of it."""

    round: int
    module: nn.Module
    method: Method
    local: Local

    def optimiser(self) -> torch.optim.Optimizer | None:
        """A fresh one, of the module's parameters."""
        return self.local.work.optimiser.make(self.module.parameters())

    def correct(self) -> None:
        """Let the method change the gradients, before a step of the optimiser."""
        with torch.no_grad():
            self.method.correct(self.local)


@dataclass(frozen=True, eq=False)
class DataHolder:
    """A part of the network at an address.

    Args:
        address: where it is asked.
        module: what its part is made of; copied for each round, never trained itself.
        prefix: what the part's names begin with in the global network.
        methods: those that it will take part in, by name.
    """

    address: str
    module: nn.Module
    prefix: str
    methods: Mapping[str, type[Method]]

    def start(self) -> Kept:
        """No round yet, and nothing remembered."""
        return Kept()

    def pack(self, state: Kept) -> Packed:
        """The last round's number, and what the method left."""
        return Packed(state.memory, {"round": state.round})

    def unpack(self, packed: Packed) -> Kept:
        """Inverse of `pack`."""
        return Kept(packed.values["round"], dict(packed.tensors))

    def begin(self, state: Kept, message: Train | Begin) -> LocalTraining:
        """A module with the weights that were sent, ready to train.

        Raises:
            Replayed: a later round has been there.
            Malformed: the weights are not those of the holder's part, or there is no such method.
        """
        if message.round < state.round:
            raise Replayed(f"{self.address} is in round {state.round}, {message.kind} is of round {message.round}")
        module = copy.deepcopy(self.module)
        if not alike(message.weights, self._named(module)):
            raise Malformed(f"{message.kind} has other weights than {self.address}, or weights that are not finite")
        module.load_state_dict({name.removeprefix(self.prefix): value for name, value in message.weights.items()})
        parameters = {self.prefix + name: parameter for name, parameter in module.named_parameters()}
        local = Local(parameters, message.weights, message.beside, state.memory, message.work)
        return LocalTraining(message.round, module, self._method(message.method), local)

    def end(self, training: LocalTraining, steps: int, loss: float | None) -> tuple[Kept, Update]:
        """What stays here, and what goes back to the server.

        Args:
            training: as `begin` made it, and ``steps`` steps later.
            steps: how many steps the optimiser took.
            loss: mean of the last epoch in nats; None where labels are not seen.
        """
        with torch.no_grad():
            beside, memory = training.method.end(training.local, steps)
        return Kept(training.round, memory), Update(training.round, self._named(training.module), beside, loss)

    def _named(self, module: nn.Module) -> Tensors:
        return {self.prefix + name: value for name, value in module.state_dict().items()}

    def _method(self, described: NamedMethod) -> Method:
        try:
            return self.methods[described.name](**described.settings)
        except (KeyError, TypeError):
            raise Malformed(f"{self.address} knows no method {described.name!r} with such settings") from None
