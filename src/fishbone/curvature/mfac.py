"""Inverse of the whole Fisher matrix, all layers together, without ever forming it (M-FAC).

Frantar et al. 2021 (arXiv 2107.03356), the static variant. With N gradient rows G (N, d) the Woodbury identity gives
(gamma I + G^T G / N)^-1 x = (x - G^T (N gamma I + G G^T)^-1 G x) / gamma. The paper's recursion over the rows builds
the same matrix; the N x N system solved here is the same with less rounding and the same memory, N x d. (The published
code drops the last gradient by an off-by-one; all are used here.)
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Mfac:
    """Estimator of the whole inverse; see `fishbone.curvature.protocol.Estimator`.

    Rows' entries of removed weights are set to zero before inverting.

    Args:
        size: d, the number of weights.
        rows: model → (N, d) with F = rows^T rows / N; the paper's are N images' gradients on their labels.
        gamma: damping, in units of F.
    """

    def __init__(self, size: int, rows: Callable[[nn.Module], Tensor], gamma: float) -> None:
        self.rows, self.gamma = rows, gamma
        self.support = torch.ones(size, dtype=torch.bool)
        self.parts = [size]
        self.half = torch.empty(0)

    def refine(self, model: nn.Module, mask: Tensor, step: int) -> dict[str, float]:
        self.support = mask.clone()
        self.half = torch.empty(0)  # so that old and new are never held together
        self.half = half_inverse(self.rows(model) * mask, self.gamma)
        return {}

    def product(self, vectors: Tensor, part: int) -> Tensor:
        down = (vectors.to(self.half.dtype) @ self.half.T) @ self.half
        return vectors / self.gamma - down.to(vectors.dtype)

    def diagonal(self, part: int) -> Tensor:
        """Return diag Q, (d,), bounded from below by a millionth of 1 / gamma, as rounding could make it negative."""
        return (1 / self.gamma - (self.half**2).sum(0)).clamp(min=1e-6 / self.gamma)

    def blocks(self, positions: Tensor, part: int) -> Tensor:
        picked = self.half[:, positions].movedim(0, 1)  # (G, N, c)
        return torch.eye(positions.shape[1], dtype=picked.dtype) / self.gamma - picked.mT @ picked

    def state(self) -> dict[str, Tensor]:
        return {"half": self.half, "support": self.support}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.half, self.support = state["half"], state["support"]


def half_inverse(rows: Tensor, gamma: float) -> Tensor:
    """Return H (N, d) with (gamma I + rows^T rows / N)^-1 = I / gamma - H^T H; the N x N part is in float64.

    Args:
        rows: (N, d) gradient rows.
        gamma: the damping that is added to F's diagonal.
    """
    gram = torch.zeros(len(rows), len(rows), dtype=torch.float64)
    for part in rows.split(1 << 12, dim=1):  # short sums stay exact enough in the rows' precision, at twice the speed
        gram += (part @ part.T).double()
    gram.diagonal().add_(len(rows) * gamma)
    inverse_root = torch.linalg.solve_triangular(
        torch.linalg.cholesky(gram), torch.eye(len(rows), dtype=torch.float64), upper=False
    )
    half: Tensor = inverse_root.to(rows.dtype) @ rows
    return half.div_(gamma**0.5)
