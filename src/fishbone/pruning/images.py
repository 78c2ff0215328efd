"""The training images that pruning looks at: for curvature and for batch-norm statistics."""

import copy

import torch
from torch import Tensor, nn

from fishbone.data.dataset import Dataset
from fishbone.nn.augment import crop_and_flip
from fishbone.nn.evaluate import recalibrate_batch_norm
from fishbone.seeding import torch_generator

BATCH = 250  # most inputs that batch norms see at once


def draw(dataset: Dataset, count: int, purpose: str, *, padding: int, flip: bool, seed: int) -> tuple[Tensor, Tensor]:
    """``count`` training images without repetition, augmented as in training: inputs (N, C, H, W) and labels (N,)."""
    order = torch.randperm(len(dataset.train), generator=torch_generator(seed, purpose))[:count]
    indices = dataset.train[order.numpy()]
    inputs = torch.from_numpy(dataset.normalise(dataset.images[indices]))
    draws = torch_generator(seed, purpose, "augmentation")
    return crop_and_flip(inputs, padding, flip, draws), torch.from_numpy(dataset.labels[indices])


def recalibrated(model: nn.Module, inputs: Tensor) -> nn.Module:
    """A copy of ``model`` whose batch norms have the statistics of ``inputs``."""
    fresh = copy.deepcopy(model)
    recalibrate(fresh, inputs)
    return fresh


def recalibrate(model: nn.Module, inputs: Tensor) -> None:
    """Give the batch norms of ``model`` the statistics of ``inputs``.

    Batches of up to ``BATCH`` inputs have one size, to within one input: each counts as much as any other.
    """
    recalibrate_batch_norm(model, inputs.tensor_split(-(-len(inputs) // BATCH)))
