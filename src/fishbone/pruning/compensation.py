"""What the remaining weights do about those removed: the joint Optimal Brain Surgeon update.

Minimising ½ (θ - θ0)^T Q^-1 (θ - θ0) subject to θ_S = 0 gives θ = θ0 - Q[:, S] x with Q_SS x = θ0_S (Hassibi &
Stork 1993 for groups). Only products with Q are needed: x comes from conjugate
gradients, preconditioned by diag Q_SS.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


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
    product: Callable[[Tensor], Tensor], diagonal: Tensor, weights: Tensor, removed: Tensor, solver: Solver
) -> Compensation:
    """Remove ``removed`` weights jointly.

    Args:
        product, diagonal: Q.
        weights: θ0 (d,), the point that Q belongs to. Removed weights that are zero in it stay zero, which is how
            weights removed earlier take part.
        removed: boolean (d,), S.
        solver: when to stop.
    """
    target = torch.where(removed, weights, 0).double()
    x, residual = _conjugate_gradients(lambda v: product(v) * removed, target, diagonal.double(), solver)
    moved = weights.double() - product(x)
    kept = torch.where(removed, 0, moved).to(weights.dtype)
    return Compensation(kept, 0.5 * (target @ x).item(), residual)


def _conjugate_gradients(operator, target: Tensor, diagonal: Tensor, solver: Solver) -> tuple[Tensor, float]:
    """Solve operator(x) = target in float64; (x, relative residual)."""
    x = torch.zeros_like(target)
    norm = target.norm()
    if norm == 0:
        return x, 0.0
    residual = target.clone()
    z = residual / diagonal
    direction, rho = z, residual @ z
    for _ in range(solver.iterations):
        if residual.norm() <= solver.tolerance * norm:
            break
        image = operator(direction)
        step = rho / (direction @ image)
        x = x + step * direction
        residual = residual - step * image
        z = residual / diagonal
        rho, previous = residual @ z, rho
        direction = z + rho / previous * direction
    return x, (residual.norm() / norm).item()
