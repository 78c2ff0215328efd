"""Random crop with zero padding and horizontal flip, for a whole batch at once, on any device."""

import torch
from torch import Tensor
from torch.nn import functional as F


def crop_and_flip(images: Tensor, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """(B, C, H, W) → the same shape; each image is shifted and, with probability 1/2, mirrored.

    Args:
        images: normalised, so that zero, by which they are padded, is the mean.
        padding: most pixels by which an image is shifted; 0 shifts none.
        flip: whether to mirror images at random.
        generator: on the CPU; draws the shifts first, then the flips.
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
