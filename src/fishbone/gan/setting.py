"""What a GAN is made of, whatever the method: settings, networks, and the images with who owns them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from fishbone.nn.dcgan import Discriminator, Generator
from fishbone.nn.optimiser import Optimiser
from fishbone.seeding import derive, torch_seeded
from fishbone.split.planner import Capacity
from fishbone.wire.memory import Memory, Observer
from fishbone.wire.policy import Policy


@dataclass(frozen=True)
class Setting:
    """What all methods share.

    Args:
        shape: (channels, height, width) of an image.
        width: channels of the networks' first blocks (`fishbone.nn.dcgan`).
        latent: length of the noise vector.
        dropout: probability that the discriminator drops an element.
        batch: real images in a step, over all users; as many are generated.
        steps: of a round; one update of each discriminator and of the generator a step.
        generator_rate: Adam's learning rate for the generator.
        discriminator_rate: Adam's learning rate for the discriminators.
        beta1: Adam's decay of the first moment; the second's is 0.999, eps 1e-7 (the paper's Keras).
        seed: decides weights, order, noise and dropout; the same seed gives the same bits.
        deadline: seconds that a user's device may take to answer; None is as long as it takes.
    """

    shape: tuple[int, int, int]
    width: int
    latent: int
    dropout: float
    batch: int
    steps: int
    generator_rate: float
    discriminator_rate: float
    beta1: float
    seed: int
    deadline: float | None = None

    def networks(self) -> tuple[Generator, Discriminator]:
        """(generator, discriminator), freshly initialised."""
        with torch_seeded(self.seed, "initial weights"):
            generator = Generator(list(self.shape), self.width, self.latent)
            discriminator = Discriminator(list(self.shape), self.width, self.dropout, derive(self.seed, "dropout"))
        return generator, discriminator

    def adam(self, rate: float) -> Optimiser:
        """Adam with this learning rate."""
        return Optimiser("adam", rate, betas=(self.beta1, 0.999), eps=1e-7)


@dataclass(frozen=True, eq=False)
class Population:
    """The images and who owns them; a method in one place reads the images alone.

    Args:
        images: (n, C, H, W) in [-1, 1].
        parts: positions of each user's images.
        devices: of each user, the owner of its images first.
        observers: each sees every message; see `fishbone.wire.memory.Memory`.
        carrier: makes of a policy and observers what carries the messages.
    """

    images: Tensor
    parts: Sequence[np.ndarray]
    devices: Sequence[Sequence[Capacity]]
    observers: Sequence[Observer] = ()
    carrier: Callable[[Policy, Sequence[Observer]], Memory] = Memory
