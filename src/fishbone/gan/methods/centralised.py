"""The same GAN in one place: all images, one whole discriminator, one graph; upper bound and oracle of FSL-GAN.

Same networks, losses, order of updates, images in a step and number of steps; with one user and one device
`fishbone.gan.methods.fsl_gan` gives these bits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fishbone.gan import account, losses
from fishbone.gan.absences import Absence
from fishbone.gan.batches import noise, positions
from fishbone.gan.setting import Population, Setting
from fishbone.nn.dcgan import Discriminator, Generator
from fishbone.nn.divergence import require_finite
from fishbone.nn.dropout import key_dropout
from fishbone.nn.optimiser import Optimiser, apply
from fishbone.nn.pack import pack, unpack
from fishbone.split.planner import measure

NAME = "user0"


class Centralised:
    """Generator, discriminator and an optimiser for each; a `fishbone.gan.game.Game`.

    Args:
        generator: the generator, in training mode.
        discriminator: the whole network, in training mode.
        optimisers: of the generator and of the discriminator.
        images: (n, C, H, W) in [-1, 1].
        batch: images in a step.
        steps: how many a round has.
        seed: decides noise, order and dropout; the same seed gives the same bits.
    """

    field = "learning_rate.centralised"
    absences: Sequence[Absence] = ()

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        optimisers: tuple[Optimiser, Optimiser],
        images: Tensor,
        batch: int,
        steps: int,
        seed: int,
    ) -> None:
        self.generator = generator
        self.discriminator = discriminator
        self.generator_optimiser = optimisers[0].make(generator.parameters())
        self.discriminator_optimiser = optimisers[1].make(discriminator.parameters())
        self.images = images
        self.batch = batch
        self.steps = steps
        self.seed = seed

    def round(self, number: int) -> dict[str, float]:
        """Round ``number`` (from 1); mean losses over its steps.

        Raises:
            InputError: a loss is not finite.
        """
        sums = torch.zeros(2, dtype=torch.float64)
        for step in range((number - 1) * self.steps, number * self.steps):
            both = torch.tensor(self._step(step), dtype=torch.float64)
            require_finite(both.sum().item(), "the loss", f"round {number}, step {step + 1}", field=self.field)
            sums += both
        discriminator_loss, generator_loss = (sums / self.steps).tolist()
        return {"discriminator_loss": discriminator_loss, "generator_loss": generator_loss}

    def _step(self, step: int) -> tuple[float, float]:
        real = self.images[positions(len(self.images), self.batch, step, self.seed, NAME)]
        generated = self.generator(noise(self.batch, self.generator.latent, self.seed, step))
        loss = losses.discriminator(self._judge(torch.cat([real, generated.detach()]), f"{step} learn"))
        torch.autograd.backward(loss)
        apply(self.discriminator_optimiser)

        self.discriminator.requires_grad_(False)
        fooled = losses.generator(self._judge(generated, f"{step} feedback"))
        torch.autograd.backward(fooled)
        self.discriminator.requires_grad_(True)
        apply(self.generator_optimiser)
        return loss.item(), fooled.item()

    def _judge(self, images: Tensor, tag: str) -> Tensor:
        key_dropout(self.discriminator, NAME, tag)
        logits: Tensor = self.discriminator(images)
        return logits

    def own(self) -> dict[str, Tensor]:
        """Both networks and their optimisers, by name."""
        generator = pack("generator", self.generator, self.generator_optimiser)
        return generator | pack("discriminator", self.discriminator, self.discriminator_optimiser)

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next round depends on: (tensors, JSON)."""
        return self.own(), {}

    def unpack(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Inverse of `pack`."""
        unpack("generator", tensors, self.generator, self.generator_optimiser)
        unpack("discriminator", tensors, self.discriminator, self.discriminator_optimiser)

    def costs(self, rounds: int) -> dict[str, int]:
        """What ``rounds`` rounds cost; see `fishbone.gan.account`."""
        layers = measure(self.discriminator, self.images.shape[1:])
        images = rounds * self.steps * self.batch
        return account.in_one_place(self.generator, layers, images, self.images.numel())


def build(setting: Setting, population: Population) -> Centralised:
    """The GAN in one place, which has all the images."""
    optimisers = setting.adam(setting.generator_rate), setting.adam(setting.discriminator_rate)
    return Centralised(
        *setting.networks(), optimisers, population.images, setting.batch, setting.steps, setting.seed
    )  # fmt: skip
