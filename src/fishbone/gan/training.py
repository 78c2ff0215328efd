"""The loop over rounds that all GANs share: train, measure, keep a checkpoint."""

import math
from collections.abc import Callable, Mapping
from typing import Protocol

from torch import Tensor

from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.dcgan import Generator


class Game(Protocol):
    """A generator and whatever judges it."""

    generator: Generator

    def round(self, number: int) -> dict[str, float]: ...

    def save(self) -> tuple[dict[str, Tensor], dict]: ...

    def load(self, tensors: Mapping[str, Tensor], saved: dict) -> None: ...


def train(
    game: Game,
    rounds: int,
    measure: Callable[[Generator], dict[str, float]],
    checkpoint: Checkpoint,
    report: Callable[[dict], None],
) -> list[dict]:
    """Play ``rounds`` rounds, those of the checkpoint included.

    Args:
        measure: called after each round; must not change what the next one depends on.
        report: called with each round's row.

    Raises:
        RuntimeError: a loss is not finite.

    Returns:
        A row a round: ``step``, what `Game.round` gives, what ``measure`` gives.
    """
    history = []
    if (resumed := checkpoint.load()) is not None:
        tensors, saved = resumed
        game.load(tensors, saved["game"])
        history = saved["history"]
    for number in range(len(history), rounds):
        losses = game.round(number)
        if not all(map(math.isfinite, losses.values())):
            raise RuntimeError(f"round {number + 1} diverged ({losses}); lower the learning rate")
        history.append({"step": number + 1, **losses, **measure(game.generator)})
        tensors, saved = game.save()
        checkpoint.save(tensors, {"game": saved, "history": history})
        report(history[-1])
    return history
