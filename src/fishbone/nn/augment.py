"""Random crop with zero padding and horizontal flip, for a whole batch at once, on any device."""

import torch
from torch import Tensor
from torch.nn import functional as F


def crop_and_flip(images: Tensor, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """(B, C, H, W) → the same shape; each image is shifted by up to ``padding`` pixels and flipped with p=1/2.

    Padding is zero, the normalised mean. ``padding`` 0 and ``flip`` False return the images unchanged.
    """
    count, _, height, width = images.shape
    if padding:
        padded = F.pad(images, (padding,) * 4)
        offsets = torch.randint(0, 2 * padding + 1, (2, count), generator=generator)
        rows = (offsets[0][:, None] + torch.arange(height))[:, None, :, None]
        columns = (offsets[1][:, None] + torch.arange(width))[:, None, None, :]
        batch = torch.arange(count)[:, None, None, None]
        channel = torch.arange(images.shape[1])[None, :, None, None]
        images = padded[batch, channel, rows, columns]
    if flip:
        chosen = torch.rand(count, generator=generator) < 0.5
        images = torch.where(chosen[:, None, None, None], images.flip(3), images)
    return images
