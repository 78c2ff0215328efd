"""The non-saturating GAN losses from logits (Goodfellow et al. 2014, arXiv 1406.2661, §3), means over a batch.

softplus(-s) = BCE(1, s) and softplus(s) = BCE(0, s).
"""

from torch import Tensor
from torch.nn import functional as F


def discriminator(logits: Tensor) -> Tensor:
    """``logits`` (2B, 1): those of B real images, then those of B generated ones.

    Examples:
        >>> import torch
        >>> discriminator(torch.zeros(2, 1))  # it knows nothing: 2 log 2
        tensor(1.3863)
        >>> discriminator(torch.tensor([[50.0], [-50.0]])) < 1e-20  # it is sure, and right
        tensor(True)
    """
    real, generated = logits.chunk(2)
    return F.softplus(-real).mean() + F.softplus(generated).mean()


def generator(logits: Tensor) -> Tensor:
    """``logits`` (B, 1) of generated images.

    Examples:
        >>> import torch
        >>> generator(torch.zeros(1, 1))  # log 2
        tensor(0.6931)
    """
    return F.softplus(-logits).mean()
