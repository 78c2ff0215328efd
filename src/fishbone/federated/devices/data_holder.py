"""What horizontal devices, parties and label holders share: their part of the network, and what they keep.

A data holder is configuration and data. What it trains, and what a method leaves behind for the next round, is in
`Kept`.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from fishbone.errors import Malformed, Replayed
from fishbone.federated.messages import Begin, NamedMethod, Train, Update
from fishbone.federated.methods.protocol import Local, Method, Tensors
from fishbone.nn.pack import under
from fishbone.wire.actor import Packed
from fishbone.wire.checks import alike

Memories = Mapping[int, Tensors]


@dataclass(frozen=True, eq=False)
class Kept:
    """A data holder's state between rounds.

    Args:
        module: what the holder trains, in place. It is not packed: a round begins with the weights that are sent.
        memories: round → what the method left here after it. They are of the last round that the holder took part in,
            and of the one that it went on from: the server may not have taken the last one's update.
    """

    module: nn.Module
    memories: Memories = field(default_factory=lambda: {0: {}})

    @property
    def round(self) -> int:
        """The last one that the holder took part in."""
        return max(self.memories)


@dataclass(frozen=True, eq=False)
class LocalTraining:
    """One holder's training in one round: its module, and the method's view of it; ``base`` is the round before."""

    round: int
    base: int
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
        module: what its part is made of; its state has a copy, which is trained.
        prefix: what the part's names begin with in the global network.
        methods: those that it will take part in, by name.
    """

    address: str
    module: nn.Module
    prefix: str
    methods: Mapping[str, type[Method]]

    def start(self) -> Kept:
        """No round yet, and nothing remembered."""
        return Kept(copy.deepcopy(self.module))

    def pack(self, state: Kept) -> Packed:
        """The memories, and which rounds they are of."""
        tensors = {f"{number}/{name}": value for number, kept in state.memories.items() for name, value in kept.items()}
        return Packed(tensors, {"rounds": list(state.memories)})

    def unpack(self, packed: Packed) -> Kept:
        """Inverse of `pack`."""
        memories = {number: under(f"{number}/", packed.tensors) for number in packed.values["rounds"]}
        return Kept(copy.deepcopy(self.module), memories)

    def begin(self, state: Kept, message: Train | Begin) -> LocalTraining:
        """The module with the weights that were sent, ready to train.

        A holder that has lost what the method left here in the round that counted goes on with an empty memory.

        Raises:
            Replayed: a later round has been there.
            Malformed: the weights are not those of the holder's part, there is no such method, or the round that
                counted is not before this one.
        """
        if message.round < state.round:
            raise Replayed(f"{self.address} is in round {state.round}, {message.kind} is of round {message.round}")
        if not 0 <= message.counted < message.round:
            raise Malformed(f"{message.kind} of round {message.round} says that round {message.counted} counted")
        module = state.module
        if not alike(message.weights, self._named(module)):
            raise Malformed(f"{message.kind} has other weights than {self.address}, or weights that are not finite")
        module.load_state_dict({name.removeprefix(self.prefix): value for name, value in message.weights.items()})
        module.zero_grad(set_to_none=True)  # a session that broke off may have left some
        parameters = {self.prefix + name: parameter for name, parameter in module.named_parameters()}
        memory = state.memories.get(message.counted, {})
        local = Local(parameters, message.weights, message.beside, memory, message.work)
        return LocalTraining(message.round, message.counted, module, self._method(message.method), local)

    def end(self, training: LocalTraining, steps: int, loss: float | None) -> tuple[Memories, Update]:
        """The memories that stay here, and what goes back to the server.

        Args:
            training: as `begin` made it, and ``steps`` steps later.
            steps: how many steps the optimiser took.
            loss: mean of the last epoch in nats; None where labels are not seen.
        """
        with torch.no_grad():
            beside, memory = training.method.end(training.local, steps)
        # A copy: a method may give parameters, which the next round trains on.
        left = {name: value.detach().clone() for name, value in memory.items()}
        memories = {training.base: training.local.memory, training.round: left}
        return memories, Update(training.round, self._named(training.module), beside, loss)

    def _named(self, module: nn.Module) -> Tensors:
        return {self.prefix + name: value for name, value in module.state_dict().items()}

    def _method(self, described: NamedMethod) -> Method:
        try:
            return self.methods[described.name](**described.settings)
        except (KeyError, TypeError):
            raise Malformed(f"{self.address} knows no method {described.name!r} with such settings") from None
