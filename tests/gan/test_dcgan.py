import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fishbone.errors import InputError
from fishbone.nn.dcgan import Discriminator, Generator


def test_paper_width_has_the_papers_parameters():
    discriminator = Discriminator([1, 28, 28], 64, 0.3, 0)
    a, b, *c = [sum(p.numel() for p in block.parameters()) for block in discriminator]
    assert (a, b, sum(c)) == (1_664, 204_928, 823_553)
    assert sum(p.numel() for p in discriminator.parameters()) == 1_030_145
    # Keras counts running means and variances as (non-trainable) parameters.
    state = Generator([1, 28, 28], 64, 100).state_dict()
    assert sum(value.numel() for name, value in state.items() if "num_batches" not in name) == 2_330_944


def test_blocks_of_the_discriminator_have_the_papers_shapes():
    value, shapes = torch.zeros(2, 1, 28, 28), []
    for block in Discriminator([1, 28, 28], 64, 0.3, 0):
        value = block(value)
        shapes.append(tuple(value.shape[1:]))
    assert shapes == [(64, 14, 14), (128, 7, 7), (256, 4, 4), (1,)]


@pytest.mark.parametrize("shape", [[1, 28, 28], [1, 8, 8], [3, 32, 32], [3, 8, 12]], ids=str)
def test_generator_and_discriminator_fit_the_shape(shape):
    images = Generator(shape, 4, 16)(torch.randn(3, 16))
    assert list(images.shape) == [3, *shape]
    assert images.abs().max() <= 1
    assert Discriminator(shape, 4, 0.3, 0)(images).shape == (3, 1)


def test_side_that_two_doublings_cannot_reach_is_refused():
    with pytest.raises(InputError, match="divisible by 4"):
        Generator([1, 30, 28], 4, 16)


def test_discriminator_judges_each_image_by_itself():
    discriminator = Discriminator([1, 8, 8], 4, 0.0, 0).double()
    images = torch.randn(6, 1, 8, 8).double()
    alone = torch.cat([discriminator(image[None]) for image in images])
    torch.testing.assert_close(discriminator(images), alone, rtol=1e-12, atol=1e-12)


def test_weights_are_glorot_uniform_and_biases_zero():
    discriminator = Discriminator([1, 28, 28], 64, 0.3, 0)
    convolution = discriminator.conv3[0]
    limit = (6 / (25 * (128 + 256))) ** 0.5
    assert convolution.weight.abs().max() <= limit
    assert convolution.weight.abs().max() > 0.99 * limit
    assert not convolution.bias.any()


def flip(x):
    return x.flip(2, 3)


def test_keras_same_padding_is_this_network_on_mirrored_images():
    images, weight = torch.randn(2, 1, 28, 28), torch.randn(4, 1, 5, 5)
    keras = F.conv2d(F.pad(images, (1, 2, 1, 2)), weight, stride=2)
    layer = nn.Conv2d(1, 4, 5, 2, 2, bias=False)
    layer.weight.data = flip(weight)
    torch.testing.assert_close(flip(layer(flip(images))), keras)

    images, weight = torch.randn(2, 4, 7, 7), torch.randn(4, 3, 5, 5)
    keras = F.conv_transpose2d(images, weight, stride=2)[:, :, 1:-2, 1:-2]
    layer = nn.ConvTranspose2d(4, 3, 5, 2, 2, 1, bias=False)
    layer.weight.data = flip(weight)
    torch.testing.assert_close(flip(layer(flip(images))), keras)
