import numpy as np
import pytest

from fishbone.data.dataset import Dataset
from fishbone.gan.batches import to_uint8, to_unit_range


@pytest.fixture(params=[1, 3])
def dataset(request):
    """Twelve random images of 5x4 pixels, grey or in colour."""
    channels = request.param
    images = np.random.default_rng(0).integers(0, 256, (12, 5, 4, channels), dtype=np.uint8)
    splits = {"train": np.arange(0, 12, 2), "validation": np.array([1, 3, 5]), "test": np.array([7, 9, 11])}
    scale = {"mean": np.full(channels, 0.4, np.float32), "std": np.full(channels, 0.2, np.float32)}
    return Dataset("noise", "0", images, np.arange(12) % 2, **splits, class_names=("a", "b"), **scale)


def test_images_of_a_split_have_the_strides_of_their_shape(dataset):
    channels = dataset.shape[0]
    inputs, _ = dataset.split("train")
    for images in (inputs, to_unit_range(dataset.images)):
        assert images.stride() == (channels * 20, 20, 4, 1)


def test_moving_channels_moves_no_pixel(dataset):
    inputs, _ = dataset.split("train")
    expected = (dataset.images[dataset.train].astype(np.float32) / 255 - dataset.mean) / dataset.std
    assert (inputs.permute(0, 2, 3, 1).numpy() == expected).all()
    assert (to_uint8(to_unit_range(dataset.images)) == dataset.images).all()
