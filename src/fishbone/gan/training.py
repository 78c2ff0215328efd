"""Training a game: play, see that all is finite, measure, keep a checkpoint."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from fishbone.gan.absences import require_sound
from fishbone.gan.game import Game
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.dcgan import Generator
from fishbone.nn.divergence import require_finite
from fishbone.nn.loop import resume


class Training:
    """A `fishbone.nn.loop.Work` whose steps are a game's rounds.

    Args:
        game: the game whose rounds are the steps.
        measure: called after each round; must not change what the next one depends on.
    """

    def __init__(self, game: Game, measure: Callable[[Generator], dict[str, float]]) -> None:
        self.game, self.measure = game, measure

    def step(self, number: int) -> dict[str, float]:
        """Round ``number``, from 1: what `Game.round` gives and what ``measure`` gives.

        Raises:
            InputError: a user diverged, or a number that the server starts the next round from is not finite.
            FishboneError: a user failed.
        """
        losses = self.game.round(number)
        require_sound([absence for absence in self.game.absences if absence.round == number], self.game.field)
        # The losses of a round's last step do not show what that step made of the weights.
        for name, tensor in self.game.own().items():
            if tensor.is_floating_point():
                largest = tensor.abs().max().item()
                require_finite(largest, f"the largest of {name}", f"round {number}", field=self.game.field)
        return {**losses, **self.measure(self.game.generator)}

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The game's."""
        return self.game.pack()

    def unpack(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Inverse of `pack`."""
        self.game.unpack(tensors, values)


def train(
    game: Game,
    rounds: int,
    measure: Callable[[Generator], dict[str, float]],
    checkpoint: Checkpoint,
    report: Callable[[dict[str, Any]], None],
) -> list[dict[str, Any]]:
    """Play ``rounds`` rounds, those of the checkpoint included; see `Training` and `resume`."""
    return resume(Training(game, measure), rounds, checkpoint, report)
