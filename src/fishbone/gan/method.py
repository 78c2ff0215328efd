"""What makes a game over users one method or another, and what it knows of the users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, Self

from torch import Tensor

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Part:
    """A part of a user's discriminator.

    Args:
        address: the address of the device that holds it.
        layers: how many consecutive layers it has.
        names: names of their weights in the whole discriminator.
    """

    address: str
    layers: int
    names: tuple[str, ...]

    def of(self, weights: Weights) -> dict[str, Tensor]:
        """Of a whole discriminator's weights, those of this part."""
        return {name: weights[name] for name in self.names}


@dataclass(frozen=True)
class User:
    """What the server knows of a user.

    Args:
        name: unique; users act and are summed in the order of their names.
        images: how many it owns.
        batch: how many of them, and of generated ones, it takes in a step.
        parts: of its discriminator, in the order of the forward pass; the device of the first one owns the images.
    """

    name: str
    images: int
    batch: int
    parts: tuple[Part, ...]


class Method(Protocol):
    """What makes a game over users MD-GAN, FSL-GAN or another: a value, which a round replaces by the next one."""

    def discriminator(self, user: str) -> Weights:
        """The weights that this user begins the next round with."""

    def shares(self, users: Sequence[User]) -> dict[User, Fraction]:
        """The weights of the feedback and the losses of the users that are still there in a step."""

    def collect(self, weights: Mapping[User, Weights]) -> Self:
        """The method after a round: here discriminators are averaged, swapped between users, or kept.

        Args:
            weights: of the discriminator of each user that finished the round.
        """

    def pack(self) -> dict[str, Tensor]:
        """Its weights by names for a checkpoint."""

    def unpack(self, tensors: Mapping[str, Tensor]) -> Self:
        """Inverse of `pack`; other names are ignored."""
