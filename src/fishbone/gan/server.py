"""The server's generator, which never sees data and learns from feedback alone.

Per step: images x_f = G(z) go out; dL/dx_f comes back; dL/dw = (∂x_f/∂w)ᵀ dL/dx_f by the chain rule
(Hardy et al. 2019, arXiv 1811.03850, §IV-B), then a step of Adam.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from fishbone.errors import StageError
from fishbone.gan.batches import noise
from fishbone.nn.dcgan import Generator
from fishbone.nn.optimiser import Optimiser, apply
from fishbone.nn.pack import pack, unpack


class Server:
    """Holds the generator and its optimiser.

    Args:
        generator: the generator, in training mode.
        optimiser: how its parameters are stepped.
        seed: decides the noise; the same seed gives the same noise at each step.
    """

    def __init__(self, generator: Generator, optimiser: Optimiser, seed: int) -> None:
        self.generator = generator
        self.optimiser = optimiser.make(generator.parameters())
        self.seed = seed
        self._generated: Tensor | None = None

    def generate(self, step: int, count: int) -> Tensor:
        """(count, C, H, W) images of this step; their graph stays here until `learn`."""
        self._generated = self.generator(noise(count, self.generator.latent, self.seed, step))
        return self._generated.detach()

    def learn(self, feedback: Tensor) -> None:
        """One step on dL/dx_f (count, C, H, W) for the images of the last `generate`.

        Raises:
            StageError: they were learnt from already, or there are none.
        """
        if self._generated is None:
            raise StageError("feedback on images that were not generated")
        torch.autograd.backward(self._generated, feedback)
        self._generated = None
        apply(self.optimiser)

    def pack(self) -> dict[str, Tensor]:
        """Generator and optimiser by name; between steps."""
        return pack("generator", self.generator, self.optimiser)

    def unpack(self, tensors: Mapping[str, Tensor]) -> None:
        """Inverse of `pack`."""
        unpack("generator", tensors, self.generator, self.optimiser)
