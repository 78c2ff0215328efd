"""Three methods from the literature, to show that the protocol has a seat for what they need."""

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import torch

from fishbone.federated.methods.fedavg import FedAvg
from fishbone.federated.methods.protocol import ServerState


@dataclass(frozen=True)
class FedProx(FedAvg):
    """Li et al. 2020, arXiv 1812.06127, equation 2: a proximal term pulls towards the global weights."""

    name: ClassVar[str] = "fedprox"
    mu: float = 0.0

    def correct(self, local):
        for name, parameter in local.parameters.items():
            parameter.grad += self.mu * (parameter - local.sent[name])


@dataclass(frozen=True)
class Scaffold(FedAvg):
    """Karimireddy et al. 2020, arXiv 1910.06378, algorithm 1, option II, with plain SGD and equal shares.

    ``frozen``: the control variates stay as they are.
    """

    name: ClassVar[str] = "scaffold"
    frozen: bool = False

    def weigh(self, roles):
        return {role.id: Fraction(1, len(roles)) for role in roles}

    def begin(self, weights):
        return {name: torch.zeros_like(value) for name, value in weights.items()}

    def beside(self, memory):
        return memory

    def step(self, round_, state, answers):
        moved, part = super().step(round_, state, answers), len(answers.trained) / answers.asked
        change = answers.mean_beside()
        return ServerState(moved.weights, {name: (c + part * change[name]).float() for name, c in state.memory.items()})

    def correct(self, local):
        for name, parameter in local.parameters.items():
            parameter.grad += local.beside[name] - self._own(local, name)

    def end(self, local, steps):
        own = {name: self._own(local, name) for name in local.parameters}
        span = steps * local.work.optimiser.learning_rate
        new = own if self.frozen else {
            name: own[name] - local.beside[name] + (local.sent[name] - y) / span for name, y in local.parameters.items()
        }  # fmt: skip
        return {name: new[name] - own[name] for name in own}, new

    def _own(self, local, name):
        return local.memory.get(name, torch.zeros_like(local.sent[name]))


@dataclass(frozen=True)
class FedAvgM(FedAvg):
    """Hsu et al. 2019, arXiv 1909.06335: momentum at the server, v ← βv + Δ, w ← w + v."""

    name: ClassVar[str] = "fedavgm"
    beta: float = 0.0

    def begin(self, weights):
        return {name: torch.zeros_like(value, dtype=torch.float64) for name, value in weights.items()}

    def step(self, round_, state, answers):
        mean = answers.mean()
        v = {name: self.beta * state.memory[name] + mean[name] - w.double() for name, w in state.weights.items()}
        return ServerState({name: (w.double() + v[name]).to(w.dtype) for name, w in state.weights.items()}, v)
