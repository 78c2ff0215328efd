"""The two-branch network of HoVeFL's MNIST experiments: one branch per party.

Every party's columns of the image passes its own bottom (flatten, Linear, ReLU); the concatenated embeddings
pass the top (Linear, ReLU, Linear). From the authors' description (bottoms
Linear(392, 64) on 28x14 column halves, top 128 → 500 → 10), logits without the redundant log-softmax.
"""

import torch
from torch import Tensor, nn


def columns(x: Tensor, parties: int = 2) -> list[Tensor]:
    """Columns of (B, C, H, W) cut into ``parties`` parts of equal width; the last takes the rest.

    Examples:
        >>> [part.flatten().tolist() for part in columns(torch.arange(5).reshape(1, 1, 1, 5))]
        [[0, 1], [2, 3, 4]]
    """
    width = x.shape[-1] // parties
    return [x[..., p * width : None if p == parties - 1 else (p + 1) * width] for p in range(parties)]


class TwoBranch(nn.Module):
    """``bottoms[p]`` belongs to party p, ``top`` to the label holder.

    Args:
        shape: (channels, height, width) of the whole image.
        classes: how many logits there are.
        embedding: floats that one party sends per image.
        hidden: width of the top's hidden layer.
        parties: how many parts of the image there are.
    """

    def __init__(self, shape: list[int], classes: int, embedding: int = 64, hidden: int = 500, parties: int = 2):
        super().__init__()
        channels, height, width = shape
        parts = columns(torch.empty(1, channels, height, width), parties)
        self.parties = parties
        self.bottoms = nn.ModuleList(
            nn.Sequential(nn.Flatten(), nn.Linear(part[0].numel(), embedding), nn.ReLU()) for part in parts
        )
        self.top = nn.Sequential(nn.Linear(parties * embedding, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) whole images → (B, classes) logits."""
        parts = columns(x, self.parties)
        return self.top(torch.cat([bottom(part) for bottom, part in zip(self.bottoms, parts, strict=True)], dim=1))
