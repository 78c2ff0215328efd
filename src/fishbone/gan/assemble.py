"""From settings to a game: networks, optimisers, users and their devices."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fishbone.gan.batches import share_batch
from fishbone.gan.centralised import Centralised
from fishbone.gan.fsl_gan import FslGan, allowed
from fishbone.gan.server import Server
from fishbone.gan.user import KeyedStage, User
from fishbone.nn.dcgan import Discriminator, Generator
from fishbone.seeding import derive, torch_seeded
from fishbone.split.chain import Chain, cut
from fishbone.split.planner import Capacity, balanced, measure
from fishbone.split.wire import Message, Wire


@dataclass(frozen=True)
class Setting:
    """What all methods share.

    Attributes:
        shape: (channels, height, width) of an image.
        width, latent, dropout: of the networks (`fishbone.nn.dcgan`).
        batch: real images in a step, over all users; as many are generated.
        steps: of a round; one update of each discriminator and of the generator a step.
        generator_rate, discriminator_rate: Adam's learning rates.
        beta1: Adam's decay of the first moment; the second's is 0.999, eps 1e-7 (the paper's Keras).
        seed: of weights, order, noise and dropout.
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

    def networks(self) -> tuple[Generator, Discriminator]:
        with torch_seeded(self.seed, "initial weights"):
            generator = Generator(list(self.shape), self.width, self.latent)
            discriminator = Discriminator(list(self.shape), self.width, self.dropout, derive(self.seed, "dropout"))
        return generator, discriminator

    def adam(self, module: nn.Module, rate: float) -> torch.optim.Adam:
        return torch.optim.Adam(module.parameters(), rate, (self.beta1, 0.999), 1e-7)


def centralised(setting: Setting, images: Tensor) -> Centralised:
    """The GAN in one place; ``images`` (n, C, H, W) in [-1, 1]."""
    generator, discriminator = setting.networks()
    optimisers = (
        setting.adam(generator, setting.generator_rate),
        setting.adam(discriminator, setting.discriminator_rate),
    )
    return Centralised(generator, discriminator, optimisers, images, setting.batch, setting.steps, setting.seed)


def fsl_gan(
    setting: Setting,
    images: Tensor,
    parts: Sequence[np.ndarray],
    devices: Sequence[Sequence[Capacity]],
    observer: Callable[[Message], None] = lambda message: None,
) -> FslGan:
    """Users with their parts of ``images`` (n, C, H, W), each discriminator placed by `balanced`.

    Args:
        parts: positions of each user's images.
        devices: of each user, the owner of its images first.
        observer: sees every message.

    Raises:
        InputError: some user's devices cannot hold the discriminator, or the batch is smaller than the users.
    """
    generator, discriminator = setting.networks()
    layers = measure(discriminator, setting.shape)
    batches = share_batch(setting.batch, [len(part) for part in parts])
    # A pass holds the step's real and generated images.
    placements = {
        f"user{user}": _place(user, balanced(layers, capacities, 2 * batch))
        for user, (capacities, batch) in enumerate(zip(devices, batches, strict=True))
    }
    wire = Wire(allowed({user: tuple(placed) for user, placed in placements.items()}), observer)
    users = []
    for (name, placed), part, batch in zip(placements.items(), parts, batches, strict=True):
        stages = [
            KeyedStage(module, setting.adam(module, setting.discriminator_rate), name)
            for module in cut(discriminator, list(placed.values()))
        ]
        users.append(User(name, images[part], batch, Chain(list(placed), stages, wire), setting.seed))
    server = Server(generator, setting.adam(generator, setting.generator_rate), setting.seed)
    return FslGan(server, users, discriminator.state_dict(), wire, setting.steps)


def _place(user: int, sizes: tuple[int, ...]) -> dict[str, int]:
    """Device → number of layers, for the devices that are used."""
    return {f"user{user}/device{index}": size for index, size in enumerate(sizes) if size}
