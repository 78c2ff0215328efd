"""What the remaining weights do about those removed: the Optimal Brain Surgeon's update, joint or one by one.

Minimising ½ (θ - θ0)^T Q^-1 (θ - θ0) subject to θ_S = 0 gives θ = θ0 - Q[:, S] x with Q_SS x = θ0_S (Hassibi &
Stork 1993 for groups). Only products with Q are needed: x comes from conjugate
gradients, preconditioned by diag Q_SS, for each part of the weights that Q does not couple to others on its own.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


Product = Callable[[Tensor, int], Tensor]  # (vectors of one part, part) → Q v


@dataclass(frozen=True)
class Solver:
    """Conjugate gradients stop when the residual falls below ``tolerance`` x the right side, or at ``iterations``."""

    iterations: int
    tolerance: float


@dataclass(frozen=True)
class Compensation:
    """Attributes:
    weights: (d,), exactly zero where removed.
    loss: predicted rise of the loss, ½ θ0_S^T x.
    residual: relative residual at which the solver stopped.
    """

    weights: Tensor
    loss: float
    residual: float


def compensate(
    product: Product, parts: Sequence[int], diagonal: Tensor, weights: Tensor, removed: Tensor, solver: Solver
) -> Compensation:
    """Remove ``removed`` weights jointly.

    Args:
        product, parts, diagonal: Q, as an `fishbone.curvature.protocol.Estimator` has it.
        weights: θ0 (d,), the point that Q belongs to. Removed weights that are zero in it stay zero, which is how
            weights removed earlier take part.
        removed: boolean (d,), S.
        solver: when to stop, in each part.
    """
    kept, loss, left, whole = weights.clone(), 0.0, 0.0, 0.0
    split = (tensor.split(list(parts)) for tensor in (kept, removed, diagonal))
    for part, (own, gone, diag) in enumerate(zip(*split, strict=True)):
        if not gone.any():
            continue
        own_product = functools.partial(product, part=part)
        target = own * gone
        x, residual = _conjugate_gradients(lambda v, q=own_product, s=gone: q(v) * s, target, diag, solver)
        own.sub_(own_product(x)).masked_fill_(gone, 0)
        loss += 0.5 * _dot(target, x)
        left, whole = left + residual**2, whole + _dot(target, target)
    return Compensation(kept, loss, (left / whole) ** 0.5 if whole else 0.0)


def independent(
    product: Product, parts: Sequence[int], diagonal: Tensor, weights: Tensor, removed: Tensor, update: bool
) -> Compensation:
    """Remove ``removed`` weights as if each were the only one: θ - Q (1_S θ / diag Q), then zeros.

    This is how WoodFisher, oBERT and M-FAC update; it ignores that removed weights compensate each other. The loss is
    the sum of saliencies.

    Args:
        update: False leaves the other weights as they are.
    """
    x = torch.where(removed, weights / diagonal, 0)
    moved = weights.clone()
    if update:
        for part, (own, pull) in enumerate(zip(moved.split(list(parts)), x.split(list(parts)), strict=True)):
            own.sub_(product(pull, part))
    return Compensation(torch.where(removed, 0, moved), 0.5 * _dot(weights, x), 0.0)


def _conjugate_gradients(operator, target: Tensor, diagonal: Tensor, solver: Solver) -> tuple[Tensor, float]:
    """Solve operator(x) = target; (x, norm of the residual). Inner products are summed in float64.

    Stops early where rounding makes the operator's curvature along the search direction zero or negative.
    """
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
        image = operator(direction)
        curvature = _dot(direction, image)
        if not curvature > 0:
            break
        step = rho / curvature
        x.add_(direction, alpha=step)
        residual.sub_(image, alpha=step)
        z = residual / diagonal
        rho, previous = _dot(residual, z), rho
        direction.mul_(rho / previous).add_(z)
    return x, residual.norm().item()


def _dot(a: Tensor, b: Tensor, chunk: int = 1 << 20) -> float:
    """Inner product in float64, without copies of whole vectors."""
    return sum((p.double() @ q.double()).item() for p, q in zip(a.split(chunk), b.split(chunk), strict=True))
