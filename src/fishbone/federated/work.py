"""Local work between two aggregations, as a value that is sent: E epochs of mini-batches from a fresh optimiser.

The optimiser starts anew each round, as in HoVeFL's code. The order of samples comes from a generator keyed by
(seed, round, owner): the members of a vertical group, which share the owner's name, draw the same order without
exchanging it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fishbone.nn.optimiser import Optimiser
from fishbone.seeding import torch_generator


@dataclass(frozen=True)
class LocalWork:
    """What a member does with its own samples in one round.

    Args:
        seed: decides the order of samples; the same seed gives the same mini-batches.
        epochs: passes over the member's samples.
        batch: images in a step.
        optimiser: made anew from this in every round.
        deadline: seconds that a member, or a whole vertical group, has for a round; None waits as long as it takes.
    """

    seed: int
    epochs: int
    batch: int
    optimiser: Optimiser
    deadline: float | None = None

    def batches(self, owner: str, round_: int, count: int) -> list[tuple[Tensor, ...]]:
        """For each epoch its mini-batches: positions in 0 … count-1; the last batch takes the rest.

        Args:
            owner: id of the horizontal device or vertical group.
            round_: number of the round, from 1.
            count: samples that the owner has.
        """
        generator = torch_generator(self.seed, "batches", round_, owner)
        return [torch.randperm(count, generator=generator).split(self.batch) for _ in range(self.epochs)]
