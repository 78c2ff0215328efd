import numpy as np
import pytest

from fishbone.bench.agent import prepare
from fishbone.data.images import channels_first, normalise

MEAN, STD = np.float32([0.4914, 0.4822, 0.4465]), np.float32([0.2470, 0.2435, 0.2616])


def all_pixels(channels: int) -> np.ndarray:
    """(2, 16, 16, C): every value that a pixel may have, in every channel."""
    levels = np.arange(512, dtype=np.uint16).astype(np.uint8).reshape(2, 16, 16, 1)
    return np.concatenate([levels + np.uint8(shift) for shift in range(channels)], axis=-1)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_channel_is_shifted_and_scaled_by_its_own(channels):
    images = all_pixels(channels)
    found = normalise(images, MEAN[:channels], STD[:channels])
    assert found.dtype == np.float32
    for channel in range(channels):
        expected = (images[..., channel].astype(np.float64) / 255 - MEAN[channel]) / STD[channel]
        np.testing.assert_allclose(found[:, channel], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_agent_that_travels_without_this_package_prepares_the_same_bits(channels):
    images, mean, std = all_pixels(channels), MEAN[:channels], STD[:channels]
    theirs = prepare(images, mean.tolist(), std.tolist(), np.float32)
    np.testing.assert_array_equal(normalise(images, mean, std), theirs)


def test_moved_channels_are_a_copy():
    images = all_pixels(1)
    moved = channels_first(images)
    moved[:] = 7
    assert images.max() == 255
