"""The DCGAN of FSL-GAN's public notebook, for any width and image side.

Generator: noise (B, latent) → Linear → BN → (4w, H/4, W/4) → ConvT 5x5 → 2w → ConvT 5x5 stride 2 → w
→ ConvT 5x5 stride 2 → tanh: images (B, C, H, W) in [-1, 1]. Discriminator: three Conv 5x5 stride 2 (w, 2w, 4w),
each with leaky ReLU and dropout, then Linear: one logit (B, 1). ``width`` w = 64 gives the notebook's
2,330,944 and 1,030,145 parameters. The discriminator has no batch normalisation, so its output for an image
does not depend on the batch and micro-batches are exact.

Taken over from Keras: slope 0.3, batch-norm eps 1e-3, Glorot-uniform weights, zero biases. Not taken over: its
'same' padding puts the odd pixel of a stride-2 layer on the other side than PyTorch (the same network on mirrored
images), and its batch-norm momentum, because statistics are recalibrated before use.
"""

from collections.abc import Iterator

from torch import Tensor, nn

from fishbone.errors import InputError
from fishbone.nn.dropout import KeyedDropout

SLOPE = 0.3
EPS = 1e-3


class Generator(nn.Module):
    """See the module's docstring.

    Args:
        shape: [channels, height, width] of an image; sides divisible by 4.
        width: channels before the last layer (the paper's is 64).
        latent: length of the noise vector (the paper's is 100).

    Raises:
        InputError: a side is not divisible by 4.
    """

    def __init__(self, shape: list[int], width: int, latent: int) -> None:
        super().__init__()
        channels, height, breadth = shape
        if height % 4 or breadth % 4:
            remedy = "Crop or pad the images when preparing them."
            raise InputError("sides must be divisible by 4", field="image", value=f"{height}x{breadth}", remedy=remedy)
        self.latent = latent
        self.layers = nn.Sequential(
            nn.Linear(latent, 4 * width * (height // 4) * (breadth // 4), bias=False),
            nn.BatchNorm1d(4 * width * (height // 4) * (breadth // 4), eps=EPS),
            nn.LeakyReLU(SLOPE),
            nn.Unflatten(1, (4 * width, height // 4, breadth // 4)),
            nn.ConvTranspose2d(4 * width, 2 * width, 5, 1, 2, bias=False),
            nn.BatchNorm2d(2 * width, eps=EPS),
            nn.LeakyReLU(SLOPE),
            nn.ConvTranspose2d(2 * width, width, 5, 2, 2, 1, bias=False),
            nn.BatchNorm2d(width, eps=EPS),
            nn.LeakyReLU(SLOPE),
            nn.ConvTranspose2d(width, channels, 5, 2, 2, 1, bias=False),
            nn.Tanh(),
        )
        _glorot(self)

    def forward(self, noise: Tensor) -> Tensor:
        """(B, latent) noise → (B, C, H, W) images in [-1, 1]."""
        images: Tensor = self.layers(noise)
        return images


class Discriminator(nn.Sequential):
    """Four blocks, between which it may be cut: ``conv1``, ``conv2``, ``conv3`` and ``dense``.

    Args:
        shape: [channels, height, width] of an image.
        width: channels of the first block (the paper's is 64).
        dropout: probability (the paper's is 0.3).
        seed: decides the dropout masks; the same seed gives the same masks.
    """

    def __init__(self, shape: list[int], width: int, dropout: float, seed: int) -> None:
        channels, height, breadth = shape
        super().__init__()
        for index, outputs in enumerate((width, 2 * width, 4 * width), start=1):
            convolution = nn.Conv2d(channels, outputs, 5, 2, 2)
            layers = convolution, nn.LeakyReLU(SLOPE), KeyedDropout(dropout, seed, f"conv{index}")
            self.add_module(f"conv{index}", nn.Sequential(*layers))
            channels, height, breadth = outputs, -(-height // 2), -(-breadth // 2)
        self.add_module("dense", nn.Sequential(nn.Flatten(), nn.Linear(channels * height * breadth, 1)))
        _glorot(self)


def _glorot(module: nn.Module) -> None:
    for layer in _weighted(module):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _weighted(module: nn.Module) -> Iterator[nn.Linear | nn.Conv2d | nn.ConvTranspose2d]:
    return (m for m in module.modules() if isinstance(m, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)))
