"""The non-saturating GAN losses from logits (Goodfellow et al. 2014, arXiv 1406.2661, §3), means over a batch.

softplus(-s) = BCE(1, s) and softplus(s) = BCE(0, s).
"""

from torch import Tensor
from torch.nn import functional as F


def discriminator(logits: Tensor) -> Tensor:
    """``logits`` (2B, 1): those of B real images, then those of B generated ones."""
    real, generated = logits.chunk(2)
    return F.softplus(-real).mean() + F.softplus(generated).mean()


def generator(logits: Tensor) -> Tensor:
    """``logits`` (B, 1) of generated images."""
    return F.softplus(-logits).mean()
