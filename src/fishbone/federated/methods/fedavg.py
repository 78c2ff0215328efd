"""FedAvg (McMahan et al. 2017, arXiv 1602.05629): the mean of the members, weighted by their samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal

import torch

from fishbone.federated.methods.protocol import Answers, Local, ServerState, Tensors
from fishbone.federated.roles import Role
from fishbone.federated.weightings import by_samples


@dataclass(frozen=True)
class FedAvg:
    """Weights move to the mean of what the members made of them.

    Args:
        server_rate: how far they move: all the way, or in round t by 1/t. The latter is what HoVeFL's published loop
            computes: its list of local models is never cleared, so round t averages those of rounds 1 … t.
    """

    name: ClassVar[str] = "fedavg"
    server_rate: Literal["constant", "harmonic"] = "constant"

    def weigh(self, roles: Sequence[Role]) -> dict[str, Fraction]:
        """n_k / n: by samples."""
        return by_samples(roles)

    def begin(self, weights: Tensors) -> Tensors:
        """Nothing is remembered."""
        return {}

    def beside(self, memory: Tensors) -> Tensors:
        """Nothing is sent beside the weights."""
        return {}

    def step(self, round_: int, state: ServerState, answers: Answers) -> ServerState:
        """The mean of the members, as far as the server's rate goes."""
        rate = 1 / round_ if self.server_rate == "harmonic" else 1.0
        return ServerState(moved(state.weights, answers.mean(), rate), state.memory)

    def correct(self, local: Local) -> None:
        pass

    def end(self, local: Local, steps: int) -> tuple[Tensors, Tensors]:
        """Nothing goes back beside the weights, and nothing stays."""
        return {}, {}


def moved(weights: Tensors, mean: Tensors, rate: float) -> Tensors:
    """(1-rate)·weights + rate·mean in float64, rounded once to the weights' type; rate 1 is the mean itself."""
    return {name: torch.lerp(old.double(), mean[name], rate).to(old.dtype) for name, old in weights.items()}
