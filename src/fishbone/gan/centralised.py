"""The same GAN in one place: all images, one whole discriminator, one graph; upper bound and oracle of `FslGan`.

Same networks, losses, order of updates, images in a step and number of steps; with one user and one device
`FslGan` gives these bits.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from fishbone.gan import losses, state
from fishbone.gan.batches import noise, positions
from fishbone.nn.dcgan import Discriminator, Generator, key_dropout
from fishbone.nn.divergence import require_finite

NAME = "user0"


class Centralised:
    """Generator, discriminator and an Adam for each.

    Attributes:
        field: the parameter that their learning rates come from.

    Args:
        images: (n, C, H, W) in [-1, 1].
        batch: images in a step.
        steps: of a round.
        seed: of noise, order and dropout.
    """

    field = "learning_rate.centralised"

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        optimisers: tuple[torch.optim.Optimizer, torch.optim.Optimizer],
        images: Tensor,
        batch: int,
        steps: int,
        seed: int,
    ):
        self.generator = generator
        self.discriminator = discriminator
        self.generator_optimiser, self.discriminator_optimiser = optimisers
        self.images = images
        self.batch = batch
        self.steps = steps
        self.seed = seed

    def round(self, number: int) -> dict[str, float]:
        """Round ``number`` (from 0); mean losses over its steps.

        Raises:
            InputError: a loss is not finite.
        """
        sums = torch.zeros(2, dtype=torch.float64)
        for step in range(number * self.steps, (number + 1) * self.steps):
            losses = torch.tensor(self._step(step), dtype=torch.float64)
            require_finite(losses.sum().item(), "the loss", f"round {number + 1}, step {step + 1}", field=self.field)
            sums += losses
        discriminator_loss, generator_loss = (sums / self.steps).tolist()
        return {"discriminator_loss": discriminator_loss, "generator_loss": generator_loss}

    def _step(self, step: int) -> tuple[float, float]:
        real = self.images[positions(len(self.images), self.batch, step, self.seed, NAME)]
        generated = self.generator(noise(self.batch, self.generator.latent, self.seed, step))
        loss = losses.discriminator(self._judge(torch.cat([real, generated.detach()]), f"{step} learn"))
        loss.backward()
        self._apply(self.discriminator_optimiser)

        self.discriminator.requires_grad_(False)
        fooled = losses.generator(self._judge(generated, f"{step} feedback"))
        fooled.backward()
        self.discriminator.requires_grad_(True)
        self._apply(self.generator_optimiser)
        return loss.item(), fooled.item()

    def _judge(self, images: Tensor, tag: str) -> Tensor:
        key_dropout(self.discriminator, NAME, tag)
        return self.discriminator(images)

    @staticmethod
    def _apply(optimiser: torch.optim.Optimizer) -> None:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    def save(self) -> tuple[dict[str, Tensor], dict]:
        """Everything that the next round depends on: (tensors, JSON)."""
        generator = state.pack("generator", self.generator, self.generator_optimiser)
        return generator | state.pack("discriminator", self.discriminator, self.discriminator_optimiser), {}

    def load(self, tensors: Mapping[str, Tensor], saved: dict) -> None:
        """Inverse of `save`."""
        state.unpack("generator", tensors, self.generator, self.generator_optimiser)
        state.unpack("discriminator", tensors, self.discriminator, self.discriminator_optimiser)
