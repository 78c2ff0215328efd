"""The images that pruning looks at: for curvature, for batch-norm statistics and for quick judgements."""

import copy
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from fishbone.data.dataset import Dataset
from fishbone.data.splits import stratified_subset
from fishbone.nn.augment import crop_and_flip
from fishbone.nn.evaluate import recalibrate_batch_norm
from fishbone.seeding import numpy_generator, torch_generator

BATCH = 250  # most inputs that batch norms see at once

Drawn = Literal["stratified", "as_recorded"]


def draw(
    dataset: Dataset, count: int, purpose: str, *, padding: int, flip: bool, seed: int, drawn: Drawn = "stratified"
) -> tuple[Tensor, Tensor]:
    """Draw ``count`` training images without repetition, augmented as in training.

    Args:
        dataset: what to draw from.
        count: number of images; all, where there are no more.
        purpose: decides, with the seed, which images these are.
        padding: pixels by which random crops shift at most.
        flip: whether images are mirrored at random.
        seed: decides the images and their augmentation.
        drawn: ``stratified``: of each class its share, also in any first part of them, which estimators hold out or
            take alone; ``as_recorded``: any, without regard to the class, as in records made before there was a choice.

    Returns:
        Inputs (N, C, H, W), normalised, and labels (N,).
    """
    if drawn == "stratified":
        order = mixed_subset(dataset.labels[dataset.train], count, numpy_generator(seed, purpose))
    else:
        order = torch.randperm(len(dataset.train), generator=torch_generator(seed, purpose))[:count].numpy()
    indices = dataset.train[order]
    inputs = torch.from_numpy(dataset.normalise(dataset.images[indices]))
    draws = torch_generator(seed, purpose, "augmentation")
    return crop_and_flip(inputs, padding, flip, draws), torch.from_numpy(dataset.labels[indices])


def mixed_subset(labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw positions of a stratified subset of ``labels`` (N,), in an order that mixes the classes evenly.

    Each class's samples stand at equal distances behind a drawn beginning: any first part of the order is stratified
    as well, of each class up to two samples.
    """
    chosen = stratified_subset(labels, count, generator)
    places = np.empty(len(chosen))
    for label in np.unique(labels[chosen]):
        members = generator.permutation(np.flatnonzero(labels[chosen] == label))
        places[members] = (np.arange(len(members)) + generator.random()) / len(members)
    return chosen[np.argsort(places)]


def judging(dataset: Dataset, count: int, seed: int, drawn: Drawn) -> tuple[Tensor, Tensor]:
    """Choose ``count`` validation images for quick answers: inputs (N, C, H, W) and labels (N,).

    Args:
        dataset: what to choose from.
        count: number of images; all, where there are no more.
        seed: decides which images these are.
        drawn: ``stratified``: of each class its share; ``as_recorded``: the file's first, which are few classes where
            it is sorted, as in records made before there was a choice.
    """
    inputs, labels = dataset.split("validation")
    if drawn == "as_recorded":
        return inputs[:count], labels[:count]
    chosen = torch.from_numpy(stratified_subset(labels.numpy(), count, numpy_generator(seed, "judging")))
    return inputs[chosen], labels[chosen]


def recalibrated(model: nn.Module, inputs: Tensor) -> nn.Module:
    """Return a copy of ``model`` whose batch norms have the statistics of ``inputs``."""
    fresh = copy.deepcopy(model)
    recalibrate(fresh, inputs)
    return fresh


def recalibrate(model: nn.Module, inputs: Tensor) -> None:
    """Give the batch norms of ``model`` the statistics of ``inputs``.

    Batches of up to ``BATCH`` inputs have one size, to within one input: each counts as much as any other.
    """
    recalibrate_batch_norm(model, inputs.tensor_split(-(-len(inputs) // BATCH)))
