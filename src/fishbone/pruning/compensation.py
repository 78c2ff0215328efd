"""What the remaining weights do about those removed: the Optimal Brain Surgeon's update, joint or one by one.

Minimising ½ (θ - θ0)^T Q^-1 (θ - θ0) subject to θ_S = 0 gives θ = θ0 - Q[:, S] x with Q_SS x = θ0_S (Hassibi &
Stork 1993 for groups). Only products with Q are needed: x comes from conjugate
gradients, preconditioned by diag Q_SS, for each part of the weights that Q does not couple to others on its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fishbone.pruning.cost import hand_back

LARGE = 1 << 20  # weights: temporaries of so many leave holes in the heap that the next part's do not fit into


class Inverse(Protocol):
    """What is needed of a `fishbone.curvature.protocol.Estimator`."""

    @property
    def parts(self) -> Sequence[int]:
        """Sizes of the consecutive parts of the weights that Q does not couple."""

    def product(self, vectors: Tensor, part: int) -> Tensor:
        """Return Q v for (…, parts[part]) vectors v of one part, in their precision."""

    def diagonal(self, part: int) -> Tensor:
        """Return diag Q of one part, (parts[part],)."""


@dataclass(frozen=True)
class Solver:
    """When conjugate gradients stop.

    Attributes:
        iterations: at most so many, for each part of the weights.
        tolerance: the residual over the right side that is small enough.
    """

    iterations: int
    tolerance: float


@dataclass(frozen=True)
class Compensation:
    """The weights after a removal, and what it is predicted to cost.

    Attributes:
        weights: (d,), exactly zero where removed.
        loss: predicted rise of the loss: ½ θ0_S^T x, x as in the module's docstring.
        residual: relative residual at which the solver stopped.
    """

    weights: Tensor
    loss: float
    residual: float


def compensate(inverse: Inverse, weights: Tensor, removed: Tensor, solver: Solver) -> Compensation:
    """Remove weights jointly: the others move to where the loss is least.

    Args:
        inverse: Q, the inverse of the damped Fisher matrix.
        weights: θ0 (d,), the point that Q belongs to. Removed weights that are zero in it stay zero, which is how
            weights removed earlier take part.
        removed: boolean (d,), True for the weights S that go.
        solver: when to stop, in each part.
    """
    kept, loss, left, whole = weights.clone(), 0.0, 0.0, 0.0
    for part, own, gone in _parts(inverse, kept, removed):
        if not gone.any():
            continue
        if len(own) >= LARGE:
            hand_back()
        target = torch.where(gone, own, 0)
        x, residual = _conjugate_gradients(inverse, part, gone, target, solver)
        own.sub_(inverse.product(x, part)).masked_fill_(gone, 0)
        loss += 0.5 * _dot(target, x)
        left, whole = left + residual**2, whole + _dot(target, target)
    return Compensation(kept, loss, (left / whole) ** 0.5 if whole else 0.0)


def independent(inverse: Inverse, weights: Tensor, removed: Tensor, update: bool) -> Compensation:
    """Remove weights as if each were the only one: θ - Q (1_S θ / diag Q), then zeros.

    This is how WoodFisher, oBERT and M-FAC update; it ignores that removed weights compensate each other. The loss is
    the sum of saliencies θ² / (2 diag Q).

    Args:
        inverse: Q, the inverse of the damped Fisher matrix.
        weights: θ (d,), the weights as they are.
        removed: boolean (d,), True for the weights S that go.
        update: False leaves the other weights as they are.
    """
    moved, loss = weights.clone(), 0.0
    for part, own, gone in _parts(inverse, moved, removed):
        x = torch.where(gone, own / inverse.diagonal(part), 0)
        loss += 0.5 * _dot(own, x)
        if update:
            own.sub_(inverse.product(x, part))
        own.masked_fill_(gone, 0)
    return Compensation(moved, loss, 0.0)


def _parts(inverse: Inverse, weights: Tensor, removed: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(part, its weights, those of them that go); views."""
    sizes = list(inverse.parts)
    return zip(range(len(sizes)), weights.split(sizes), removed.split(sizes), strict=True)


def _conjugate_gradients(
    inverse: Inverse, part: int, removed: Tensor, target: Tensor, solver: Solver
) -> tuple[Tensor, float]:
    """Solve Q_SS x = target; (x, norm of the residual). Inner products are summed in float64.

    Stops early where rounding makes Q's curvature along the search direction zero or negative.
    """
    diagonal = inverse.diagonal(part)
    x = torch.zeros_like(target)
    norm = target.norm()
    if norm == 0:
        return x, 0.0
    residual = target.clone()
    direction = residual / diagonal
    rho = _dot(residual, direction)
    for _ in range(solver.iterations):
        if residual.norm() <= solver.tolerance * norm:
            break
        image = inverse.product(direction, part) * removed
        curvature = _dot(direction, image)
        if not curvature > 0:
            break
        step = rho / curvature
        x.add_(direction, alpha=step)
        residual.sub_(image, alpha=step)
        z = torch.div(residual, diagonal, out=image)  # which is done with
        rho, previous = _dot(residual, z), rho
        direction.mul_(rho / previous).add_(z)
    return x, residual.norm().item()


def _dot(a: Tensor, b: Tensor) -> float:
    """Inner product in float64, without copies of whole vectors."""
    pairs = zip(a.split(1 << 18), b.split(1 << 18), strict=True)
    return float(sum((p.double() @ q.double()).item() for p, q in pairs))
