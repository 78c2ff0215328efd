"""Which real images and which noise belong to a step: functions of (seed, owner, step), so any step can be resumed.

Images are (N, C, H, W) float32 in [-1, 1], the range of the generator's tanh.
"""

import numpy as np
import torch
from torch import Tensor

from fishbone.data.images import channels_first
from fishbone.errors import InputError
from fishbone.seeding import numpy_generator, torch_generator


def to_unit_range(images: np.ndarray) -> Tensor:
    """uint8 (N, H, W, C) → float32 (N, C, H, W) in [-1, 1]."""
    return torch.from_numpy(channels_first(images)).float().div(127.5).sub(1)


def to_uint8(images: Tensor) -> np.ndarray:
    """Inverse of `to_unit_range`, rounding."""
    return images.add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def positions(count: int, batch: int, step: int, seed: int, owner: str) -> np.ndarray:
    """Positions (batch,) in ``count`` images: the step's piece of an endless row of permutations, one an epoch."""
    places = np.arange(step * batch, (step + 1) * batch)
    epochs = places // count
    orders = {
        epoch: numpy_generator(seed, "order", owner, int(epoch)).permutation(count) for epoch in np.unique(epochs)
    }
    return np.array([orders[epoch][place] for epoch, place in zip(epochs, places % count, strict=True)])


def noise(count: int, latent: int, seed: int, *key: str | int) -> Tensor:
    """(count, latent) standard normal."""
    return torch.randn(count, latent, generator=torch_generator(seed, "noise", *key))


def share_batch(batch: int, counts: list[int]) -> list[int]:
    """Images of each user in a step: in proportion to what it owns, at least one each.

    So all users pass through their images in nearly the same number of steps, and the mean over the step's
    images is the mean over users with weights n_k / n, up to that rounding.

    Args:
        batch: images in a step, over all users.
        counts: how many images each user owns.

    Examples:
        >>> share_batch(10, [600, 300, 100])
        [6, 3, 1]

    Raises:
        InputError: the batch has fewer images than there are users.
    """
    if batch < len(counts):
        remedy = f"Raise it to {len(counts)} or more."
        raise InputError("a step needs an image of every user", field="batch", value=batch, remedy=remedy)
    sizes = [1] * len(counts)
    for _ in range(batch - len(counts)):
        owed = [batch * count / sum(counts) - size for count, size in zip(counts, sizes, strict=True)]
        sizes[owed.index(max(owed))] += 1
    return sizes
