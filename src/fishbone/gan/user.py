"""A user: private images on its first device, and a discriminator cut over its devices.

Per step (alternating, as in Goodfellow et al. 2014, Algorithm 1, with one discriminator step): the discriminator
learns from real and generated images, joined into one batch, the real ones first; the stepped discriminator then
judges the same generated images again, and dL_G/dx_f goes back to the server. The losses are computed on
the last device, where the logits are. No label of the data is ever used.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fishbone.gan import losses
from fishbone.gan.batches import positions
from fishbone.nn.dcgan import key_dropout
from fishbone.split.boundary import Stage
from fishbone.split.chain import Chain


class KeyedStage(Stage):
    """A stage whose dropout masks depend on the user and the pass, not on the device."""

    def __init__(self, module, optimiser, user: str):
        super().__init__(module, optimiser)
        self.user = user

    def forward(self, received: Tensor, tag: str = "", input_gradient: bool = True) -> Tensor:
        key_dropout(self.module, self.user, tag)
        return super().forward(received, tag, input_gradient)


@dataclass(frozen=True, eq=False)
class Judgement:
    """Losses of one step (nats, means over the user's images) and dL_G/dx_f of the images' shape."""

    discriminator_loss: float
    generator_loss: float
    feedback: Tensor


class User:
    """See the module's docstring.

    Args:
        name: unique; orders the aggregation.
        images: (n, C, H, W) in [-1, 1], held by the chain's first device.
        batch: of these, in a step.
        chain: the discriminator.
        seed: of the images' order.
    """

    def __init__(self, name: str, images: Tensor, batch: int, chain: Chain, seed: int):
        self.name = name
        self.images = images
        self.batch = batch
        self.chain = chain
        self.seed = seed

    @property
    def owner(self) -> str:
        """The device that holds the images."""
        return self.chain.devices[0]

    def play(self, step: int, generated: Tensor) -> Judgement:
        """One step of the discriminator, then the feedback on ``generated`` (batch, C, H, W)."""
        chosen = self.images[positions(len(self.images), self.batch, step, self.seed, self.name)]
        tag = f"{step} learn"
        logits = self.chain.forward(torch.cat([chosen, generated]), tag, input_gradient=False)
        discriminator_loss, gradient = _differentiate(losses.discriminator, logits)
        self.chain.backward(gradient, tag)
        self.chain.step()

        tag = f"{step} feedback"
        logits = self.chain.forward(generated, tag)
        generator_loss, gradient = _differentiate(losses.generator, logits)
        feedback = self.chain.backward(gradient, tag, weight_gradients=False)
        return Judgement(discriminator_loss, generator_loss, feedback)


def _differentiate(loss: Callable[[Tensor], Tensor], logits: Tensor) -> tuple[float, Tensor]:
    """(value, dL/d(logits))."""
    leaf = logits.detach().requires_grad_()
    value = loss(leaf)
    value.backward()
    return value.item(), leaf.grad
