"""What `fishbone.pruning.surgeon.Surgeon` reads from a loader of batches."""

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from fishbone.errors import ArgumentError, InputError
from fishbone.pruning.images import mixed_subset
from fishbone.seeding import numpy_generator

LEAST = 8  # inputs, of curvature and of validation together


def collect(loader: Iterable[tuple[Tensor, Tensor]], images: int) -> tuple[tuple[Tensor, Tensor], Callable[[], bool]]:
    """Read the loader's first ``images`` inputs and targets.

    Returns:
        Inputs and targets; and a function that says whether there are more, which may read a further batch.

    Raises:
        ArgumentError: there are too few.
    """
    inputs, targets, count = [], [], 0
    batches = iter(loader)
    while count < images and (batch := next(batches, None)) is not None:
        inputs.append(batch[0])
        targets.append(batch[1])
        count += len(batch[0])
    if min(count, images) < LEAST:
        text = f"images is {images} and the loader gave {count} inputs"
        raise ArgumentError(f"{text}; at least {LEAST} are needed, better 1000")

    def more() -> bool:
        return count > images or (count == images and next(batches, None) is not None)

    return (torch.cat(inputs)[:images], torch.cat(targets)[:images]), more


def are_classes(targets: Tensor) -> bool:
    """Whether targets are classes by number, (N,)."""
    return targets.ndim == 1 and not targets.is_floating_point()


def mixed(inputs: Tensor, targets: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Put inputs and targets into a drawn order, which ``seed`` decides.

    Where targets are classes, any first part, such as is held out, has of each class its share.
    """
    labels = targets.cpu().numpy() if are_classes(targets) else np.zeros(len(targets), np.int64)
    order = torch.from_numpy(mixed_subset(labels, len(labels), numpy_generator(seed, "held out")))
    return inputs[order], targets[order]


def require_shuffled(targets: Tensor, outputs: int, more: Callable[[], bool]) -> None:
    """Let pass what a shuffled loader can have given of the classes 0 … ``outputs`` - 1.

    Of many classes a shuffled loader's first inputs miss some: then half of those expected are enough.

    Args:
        targets: those read, in any order.
        outputs: how many the network has.
        more: whether the loader holds others; asked only where classes are missing.

    Raises:
        InputError: too few of the classes are among ``targets``, and the loader holds more.
    """
    if not are_classes(targets):
        return
    found = len(targets.unique())
    missed = outputs * math.exp(-len(targets) / outputs)  # expected of classes that are equally frequent
    few = found < outputs if missed < 0.01 else found < (outputs - missed) / 2
    if few and more():
        problem = f"its first {len(targets)} inputs are of {found} classes, and the network has {outputs} outputs"
        remedy = "Shuffle it, as with DataLoader(…, shuffle=True), or give one batch that holds all classes."
        raise InputError(problem, field="loader", remedy=remedy)
