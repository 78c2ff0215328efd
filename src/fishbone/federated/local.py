"""Local training between two aggregations: E epochs of mini-batches from a fresh optimiser.

The optimiser starts anew each round, as in HoVeFL's code. The order of samples comes
from a generator keyed by (seed, round, owner): the members of a vertical group, which share the owner's name,
draw the same order without exchanging it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fishbone.nn.divergence import require_finite
from fishbone.seeding import torch_generator


@dataclass(frozen=True)
class LocalTraining:
    """``optimiser`` makes one for given parameters; ``field`` is the parameter that its learning rate comes from."""

    seed: int
    epochs: int
    batch: int
    optimiser: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
    field: str = "learning_rate"

    def batches(self, owner: str, round_: int, count: int) -> list[tuple[Tensor, ...]]:
        """For each epoch its mini-batches: positions in 0 … count-1; the last batch takes the rest."""
        generator = torch_generator(self.seed, "batches", round_, owner)
        return [torch.randperm(count, generator=generator).split(self.batch) for _ in range(self.epochs)]


def train_locally(
    model: nn.Module, inputs: Tensor, labels: Tensor, local: LocalTraining, owner: str, round_: int
) -> float:
    """Train in place on whole images (N, C, H, W); mean cross-entropy of the last epoch in nats.

    Raises:
        InputError: a loss is not finite.
    """
    optimiser = local.optimiser(model.parameters())
    total = 0.0
    for number, epoch in enumerate(local.batches(owner, round_, len(labels)), start=1):
        total = 0.0
        for step, batch in enumerate(epoch, start=1):
            loss = F.cross_entropy(model(inputs[batch]), labels[batch])
            place = f"round {round_}, {owner}, local epoch {number}, step {step}"
            require_finite(loss.item(), "the loss", place, field=local.field)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            total += loss.item() * len(batch)
    return total / len(labels)
