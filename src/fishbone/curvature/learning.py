"""Stochastic learning of `KroneckerInverse` factors by FishLeg's auxiliary loss (see `fishbone.curvature.fishleg`)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fishbone.curvature.kronecker import KroneckerInverse


@dataclass(frozen=True)
class Learning:
    """How Q is learnt.

    Attributes:
        first_steps: Adam steps before the first pruning step; 0 leaves the closed-form start.
        later_steps: Adam steps of each later refinement, from factors and moments as they were.
        learning_rate: Adam's, relative to the mean size of a factor's entries; falls linearly to 0.
        directions: Gaussian directions u in a step.
        batch: images whose Fisher matrix a step sees.
        held_out: images kept apart to judge Q.
        precondition: multiply the residual by Q, so that ½ ||v - v*||² rather than the loss itself goes down;
            all directions then learn at one rate.
        weights: later refinements fit Q on the ``active`` weights only, as FLS's masked loss, or on ``all``, and
            leave the restriction to the joint compensation, which does it exactly.
    """

    first_steps: int
    later_steps: int
    learning_rate: float
    directions: int
    batch: int
    held_out: int
    precondition: bool
    weights: Literal["active", "all"]


def learn(
    layers: list[KroneckerInverse],
    optimiser: torch.optim.Adam,
    rows: list[Tensor],
    masks: list[Tensor],
    gamma: float,
    learning: Learning,
    steps: int,
    generator: torch.Generator,
) -> None:
    """Change the layers' factors in place by ``steps`` Adam steps.

    Args:
        optimiser: holds each factor in a parameter group of its own, in the layers' order.
        rows: a layer's (images, K, o, n); steps take batch after batch of images.
        masks: a layer's (o, n), 0 and 1.
        generator: of the directions u.
    """
    sizes = [_size(group["params"][0]) for group in optimiser.param_groups]
    batch = min(learning.batch, len(rows[0]))
    for step in range(steps):
        rate = learning.learning_rate * (1 - step / steps)
        for group, size in zip(optimiser.param_groups, sizes, strict=True):
            group["lr"] = rate * size
        first = step * batch % (len(rows[0]) - batch + 1)
        loss = 0.0
        for layer, block, mask in zip(layers, rows, masks, strict=True):
            u = torch.randn(learning.directions, *mask.shape, generator=generator, dtype=mask.dtype) * mask
            loss = loss + surrogate(layer, block[first : first + batch], gamma, mask, u, learning.precondition)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def surrogate(
    layer: KroneckerInverse, rows: Tensor, gamma: float, mask: Tensor, u: Tensor, precondition: bool
) -> Tensor:
    """A scalar whose gradient with respect to Q's factors is the auxiliary loss's, summed over the directions.

    Divided by Σ ||v||², so that the scale of u does not matter.

    Args:
        u: (m, o, n), zero outside the mask.
    """
    v = layer.product(u, mask)
    with torch.no_grad():
        residual = fisher_product(rows, v) * mask + gamma * v - u
        if precondition:
            residual = layer.product(residual, mask)
        scale = (v**2).sum()
    return (residual * v).sum() / scale


def fisher_product(rows: Tensor, vectors: Tensor) -> Tensor:
    """F v = Σ row (row . v) / images for rows (images, K, o, n) and vectors (m, o, n)."""
    flat, wide = rows.flatten(2).flatten(0, 1), vectors.flatten(1)
    return ((wide @ flat.T) @ flat).view_as(vectors) / len(rows)


def _size(parameter: Tensor) -> float:
    """Mean absolute entry; 1 for an all-zero logarithm (A = 1), whose steps are relative already."""
    return parameter.detach().abs().mean().item() or 1.0
