"""The reference without federation: one machine with all samples; a round is the same local epochs there."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fishbone.federated.methods.fedavg import FedAvg
from fishbone.federated.methods.protocol import Answers, ServerState
from fishbone.federated.roles import HorizontalRole


@dataclass(frozen=True)
class Centralised(FedAvg):
    """What the one member made of the weights are the weights, whatever the server's rate."""

    name: ClassVar[str] = "centralised"

    def step(self, round_: int, state: ServerState, answers: Answers) -> ServerState:
        """The weights of the one member."""
        (only,) = answers.trained.values()
        return ServerState(only.weights, state.memory)


def everything(count: int) -> HorizontalRole:
    """The one member, which has all ``count`` samples of the training split."""
    return HorizontalRole("centralised", np.arange(count))
