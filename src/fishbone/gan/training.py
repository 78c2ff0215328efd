"""The loop over rounds that all GANs share: train, measure, keep a checkpoint."""

from collections.abc import Callable, Mapping
from typing import Protocol

from torch import Tensor

from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.dcgan import Generator
from fishbone.nn.divergence import require_finite


class Game(Protocol):
    """A generator and whatever judges it; ``field`` is the parameter that the learning rates come from."""

    generator: Generator
    field: str

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
        InputError: a loss, or a number that the next round would start from, is not finite; no checkpoint of that round
            is written.

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
        # The losses of a round's last step do not show what that step made of the weights.
        tensors, saved = game.save()
        for name, tensor in tensors.items():
            if tensor.is_floating_point():
                largest = tensor.abs().max().item()
                require_finite(largest, f"the largest of {name}", f"round {number + 1}", field=game.field)
        history.append({"step": number + 1, **losses, **measure(game.generator)})
        checkpoint.save(tensors, {"game": saved, "history": history})
        report(history[-1])
    return history
