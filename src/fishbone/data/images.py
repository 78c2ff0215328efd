"""Stored images, uint8 with channels last, as networks take them: float32 with channels first, normalised."""

import numpy as np


def normalise(images: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """(pixel / 255 - mean) / std by channel, in float32.

    The agent that measures on devices travels without this package and has the same lines:
    `fishbone.bench.agent.prepare`; a test holds the two to the same bits.

    Args:
        images: uint8 (N, H, W, C).
        mean, std: (C,) float32, of pixels scaled to [0, 1].

    Returns:
        float32 (N, C, H, W), a copy.
    """
    return channels_first((images.astype(np.float32) / 255 - mean) / std)


def channels_first(images: np.ndarray) -> np.ndarray:
    """(N, H, W, C) → a copy (N, C, H, W) with the strides of that shape.

    A single channel needs the copy as well: numpy calls its transposed view contiguous, and torch reads another memory
    format from the view's strides.
    """
    count, height, width, channels = images.shape
    moved = np.empty((count, channels, height, width), images.dtype)
    moved[...] = images.transpose(0, 3, 1, 2)
    return moved
