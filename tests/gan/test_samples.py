import copy

import numpy as np
import pytest
import torch
from PIL import Image
from small_game import SETTING

from fishbone.gan.batches import noise, to_uint8
from fishbone.gan.grid import write_grid
from fishbone.gan.samples import draw, uniform
from fishbone.nn.evaluate import recalibrate_batch_norm


def trained():
    """A generator whose running statistics are not those of its weights."""
    generator = SETTING.networks()[0]
    for value in generator.buffers():
        value.fill_(3)
    return generator


def test_samples_are_what_the_recalibrated_generator_makes_of_noise_of_their_own():
    expected = copy.deepcopy(generator := trained())
    recalibrate_batch_norm(expected, [noise(100, 8, 7, "recalibration", index) for index in range(10)])
    with torch.no_grad():
        images = to_uint8(expected.eval()(noise(150, 8, 7, "samples")))
    drawn = draw(generator, 150, 7)
    assert drawn.shape == (150, 8, 8, 1)
    assert np.abs(drawn.astype(int) - images).max() <= 1  # more images at once may round otherwise
    assert drawn.std() > 1


@pytest.mark.parametrize("training", [True, False])
def test_drawing_leaves_the_generator_in_its_mode(training):
    generator = trained().train(training)
    draw(generator, 2, 0)
    assert generator.training is training


def test_uniform_pixels_have_each_value_equally_often():
    pixels = uniform(200, (16, 16, 1), np.random.default_rng(0))
    assert (pixels.shape, pixels.dtype) == ((200, 16, 16, 1), np.uint8)
    counts = np.bincount(pixels.ravel(), minlength=256)
    assert counts.shape == (256,)
    assert (np.abs(counts - 200) < 6 * 200**0.5).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_is_filled_row_by_row_and_every_pixel_is_a_square(tmp_path, channels):
    images = np.arange(6 * 2 * 3 * channels, dtype=np.uint8).reshape(6, 2, 3, channels)
    write_grid(tmp_path / "grid.png", images, columns=2, zoom=4)
    picture = np.asarray(Image.open(tmp_path / "grid.png")).reshape(24, 24, channels)
    for index, image in enumerate(images):
        top, left = index // 2 * 8, index % 2 * 12
        for (row, column), pixel in np.ndenumerate(image[..., 0]):
            square = picture[top + 4 * row : top + 4 * row + 4, left + 4 * column : left + 4 * column + 4]
            assert (square == image[row, column]).all()
            assert square[0, 0, 0] == pixel
