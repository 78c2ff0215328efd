"""Images drawn from a generator, and from none."""

import numpy as np
import torch

from fishbone.gan.batches import noise, to_uint8
from fishbone.nn.dcgan import Generator
from fishbone.nn.evaluate import recalibrate_batch_norm

BATCH = 100
RECALIBRATION_BATCHES = 10


def draw(generator: Generator, count: int, seed: int) -> np.ndarray:
    """uint8 (count, H, W, C), in eval mode after recalibrating its batch norm on noise of its own.

    Running averages would lag behind weights that still move; the recalibrated statistics depend on the weights
    and the seed alone, and stay in the generator.
    """
    training = generator.training
    recalibrate_batch_norm(
        generator,
        [noise(BATCH, generator.latent, seed, "recalibration", i) for i in range(RECALIBRATION_BATCHES)],
    )
    generator.eval()
    with torch.no_grad():
        images = [generator(part) for part in torch.split(noise(count, generator.latent, seed, "samples"), BATCH)]
    generator.train(training)
    return to_uint8(torch.cat(images))


def uniform(count: int, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """uint8 (count, *shape) of independent uniform pixels: what no generator should be as far as."""
    return generator.integers(0, 256, (count, *shape), dtype=np.uint8)
