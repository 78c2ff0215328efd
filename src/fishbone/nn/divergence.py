"""Training that has diverged is stopped at once: nothing that comes of it is of use to anybody."""

import math

import torch
from torch import nn

from fishbone.errors import InputError


def require_finite(
    value: float, what: str, place: str, *, field: str = "learning_rate", remedy: str = "Lower it."
) -> None:
    """Let finite numbers pass, and stop at others.

    Args:
        value: a loss, or a weight.
        what: what it is, such as ``the loss of step 3``.
        place: where training has got to, such as ``epoch 1``.
        field: the parameter to blame.
        remedy: what to do about it, as a sentence.

    Raises:
        InputError: it is NaN or infinite.
    """
    if not math.isfinite(value):
        raise InputError(f"training diverged in {place}: {what} is {value}", field=field, remedy=remedy)


def is_finite(model: nn.Module) -> bool:
    """Whether every parameter is finite. Buffers may hold infinities on purpose, as masks of attention do."""
    return all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())
