"""What every GAN is to those who train it: rounds, a generator, and what it cost."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from fishbone.gan.absences import Absence
from fishbone.nn.dcgan import Generator


class Game(Protocol):
    """A generator and whatever judges it; ``field`` is the parameter that the learning rates come from."""

    field: str

    @property
    def generator(self) -> Generator:
        """In training mode between rounds."""

    @property
    def absences(self) -> Sequence[Absence]:
        """Of users, so far; of a game that has none, nothing."""

    def round(self, number: int) -> dict[str, float]:
        """Play round ``number``, from 1.

        Raises:
            InputError: in one place, a loss is not finite; over users, see `fishbone.gan.rounds.Rounds.round`.
            FishboneError: no user is left.

        Returns:
            Mean losses over its steps.
        """

    def own(self) -> dict[str, Tensor]:
        """What the next round starts from at whoever holds the generator, by name; nothing that only users have."""

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next round depends on: (tensors, JSON)."""

    def unpack(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Inverse of `pack`."""

    def costs(self, rounds: int) -> dict[str, int]:
        """What ``rounds`` rounds cost, flat, as in ``metrics.json``; see `fishbone.gan.account`."""
