"""Stochastic learning of `KroneckerInverse` by FishLeg's auxiliary loss (see `fishbone.curvature.fishleg`)."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fishbone.curvature.gradients import ROW_BYTES, LayerGradients
from fishbone.curvature.kronecker import KroneckerInverse


@dataclass(frozen=True)
class Learning:
    """How Q is learnt.

    Attributes:
        form: ``outer``: D (R^T R ⊗ L^T L) D; ``inner``: the diagonal inside the Kronecker bases; ``three_way``: inner,
            with one basis each for outputs, inputs and kernel positions of a convolution: the leanest.
        start: ``isotropic`` I / gamma; ``diagonal`` 1 / (diag F + gamma); closed forms in Kronecker eigenbases:
            ``activations``, of activations and output gradients; ``rows``, of the gradient rows' own moments.
        first_steps: Adam steps before the first pruning step; 0 leaves the start.
        later_steps: Adam steps of each later refinement, from factors and moments as they were.
        learning_rate: Adam's, relative to the mean size of a factor's entries; falls linearly to 0.
        directions: random directions u in a step.
        drawn_from: ``noise``, u ~ N(0, I), for which Q learns all directions alike; or ``gradients``, random sums of
            the step's gradient rows, as FishLeg does for optimisation: Q then learns little about flat directions.
        batch: images whose Fisher matrix a step sees.
        held_out: images kept apart to judge Q; 0: learning is never undone.
        precondition: multiply the residual by Q, so that ½ ||v - v*||² rather than the loss itself goes down;
            all directions then learn at one rate.
        weights: later refinements fit Q on the ``active`` weights only, as FLS's masked loss, or on ``all``, and
            leave the restriction to the joint compensation, which does it exactly.
        renew: later refinements start again from the closed form, on the network as it then is.
    """

    form: Literal["outer", "inner", "three_way"]
    start: Literal["isotropic", "diagonal", "activations", "rows"]
    first_steps: int
    later_steps: int
    learning_rate: float
    directions: int
    drawn_from: Literal["noise", "gradients"]
    batch: int
    held_out: int
    precondition: bool
    weights: Literal["active", "all"]
    renew: bool


@torch.enable_grad()
def learn(
    layers: list[KroneckerInverse],
    optimiser: torch.optim.Adam,
    batches: Iterator[Iterable[list[LayerGradients]]],
    masks: list[Tensor],
    gamma: float,
    learning: Learning,
    steps: int,
    draws: Callable[[int, int], torch.Generator],
) -> None:
    """Change the layers' factors in place by ``steps`` Adam steps.

    Args:
        layers: what is learnt, a layer's Q each.
        optimiser: holds each factor in a parameter group of its own, in the layers' order.
        batches: endless; a step takes one, piece by piece, each of a few images.
        masks: of 0 and 1, one (o, n) a layer.
        gamma: the damping that is added to F's diagonal.
        learning: how directions are drawn and what is minimised.
        steps: how many steps of Adam are taken.
        draws: (step, layer) → generator of the directions u, which are drawn again for every piece, not kept.
    """
    sizes = [size for layer in layers for size in _sizes(layer)]
    for step in range(steps):
        rate = learning.learning_rate * (1 - step / steps)
        for group, size in zip(optimiser.param_groups, sizes, strict=True):
            group["lr"] = rate * size
        images = 0
        for piece in next(batches):
            for index, (layer, gradients, mask) in enumerate(zip(layers, piece, masks, strict=True)):
                rows = gradients.rows()
                for u in directions(learning, rows, mask, draws(step, index)):
                    (len(rows) * surrogate(layer, rows, gamma, mask, u, learning.precondition)).backward()
            images += len(rows)
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad /= images
        optimiser.step()
        optimiser.zero_grad()


def surrogate(
    layer: KroneckerInverse, rows: Tensor, gamma: float, mask: Tensor, u: Tensor, precondition: bool
) -> Tensor:
    """Return a scalar whose gradient with respect to Q's factors is the auxiliary loss's, summed over directions.

    Each direction's is divided by ||v||², so that the scale of u does not matter.

    Args:
        layer: the layer's model of Q.
        rows: gradient rows, (images, K, o, n).
        gamma: the damping that is added to F's diagonal.
        mask: (o, n) of 0 and 1.
        u: directions, (m, o, n), zero outside the mask.
        precondition: whether the residual is multiplied by Q; see `Learning`.
    """
    v = layer.product(u, mask)
    with torch.no_grad():
        residual = fisher_product(rows, v) * mask + gamma * v - u
        if precondition:
            residual = layer.product(residual, mask)
        scale = (v**2).sum((1, 2))
    return ((residual * v).sum((1, 2)) / scale).sum()


def fisher_product(rows: Tensor, vectors: Tensor) -> Tensor:
    """Return F v = Σ row (row . v) / images for rows (images, K, o, n) and vectors v (m, o, n)."""
    flat, wide = rows.flatten(2).flatten(0, 1), vectors.flatten(1)
    return ((wide @ flat.T) @ flat).view_as(vectors) / len(rows)


def directions(learning: Learning, rows: Tensor, mask: Tensor, generator: torch.Generator) -> Iterator[Tensor]:
    """Draw ``learning.directions`` directions (m, o, n) on the mask, as many at a time as `ROW_BYTES` allows.

    Args:
        learning: says how many, and from what.
        rows: gradient rows, (images, K, o, n).
        mask: (o, n) of 0 and 1.
        generator: draws them; the same one draws the same.
    """
    most = max(1, ROW_BYTES // (mask.numel() * mask.element_size()))
    for first in range(0, learning.directions, most):
        count = min(most, learning.directions - first)
        if learning.drawn_from == "noise":
            u = torch.randn(count, *mask.shape, generator=generator, dtype=mask.dtype)
        else:
            flat = rows.flatten(0, 1)
            weights = torch.randn(count, len(flat), generator=generator, dtype=flat.dtype)
            u = torch.tensordot(weights, flat, 1)
        yield u * mask


def _sizes(layer: KroneckerInverse) -> list[float]:
    """What a step is relative to: 1 for the logarithm of the diagonal, a basis' mean absolute entry."""
    return [1.0, *(basis.detach().abs().mean().item() for basis in layer.bases)]
