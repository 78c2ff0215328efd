"""Dropout whose masks depend on a key alone, so that where a layer is computed changes no bit of what it gives."""

import torch
from torch import Tensor, nn

from fishbone.seeding import torch_generator


class KeyedDropout(nn.Module):
    """Dropout whose mask depends on (seed, layer, key) alone, hence not on the device that applies it.

    Args:
        probability: of dropping an element; the rest are scaled by 1 / (1 - probability).
        seed: decides the masks; the same seed, layer and key give the same mask.
        layer: tells this layer's masks from those of others.
    """

    def __init__(self, probability: float, seed: int, layer: str) -> None:
        super().__init__()
        self.probability = probability
        self.seed = seed
        self.layer = layer
        self.key: tuple[str | int, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements as the key says, and scale the others up; in eval mode all pass."""
        if not self.training or self.probability == 0:
            return x
        generator = torch_generator(self.seed, "dropout", self.layer, *self.key)
        kept = torch.rand(x.shape, generator=generator) >= self.probability
        return x * (kept / (1 - self.probability))


def key_dropout(module: nn.Module, *key: str | int) -> None:
    """The next forward passes of ``module`` draw the masks of this key (user, step, real or fake …)."""
    for layer in module.modules():
        if isinstance(layer, KeyedDropout):
            layer.key = key
