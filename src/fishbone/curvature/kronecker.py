"""One layer's inverse Fisher model Q = D (R^T R ⊗ L L^T) D and its algebra (FishLeg).

For an o x n weight matrix: R is o x o, L is n x n, D = diag(vec A) with A = exp(log_scale) o x n, vec row by row.
Q V = A ∘ (R^T R (A ∘ V) L L^T). Positive definite by construction; each of R, L and A can be learnt.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class KroneckerInverse:
    """Attributes:
    log_scale: (o, n), logarithm of A.
    left: R, (o, o).
    right: L, (n, n).
    """

    log_scale: Tensor
    left: Tensor
    right: Tensor

    @property
    def parameters(self) -> list[Tensor]:
        return [self.log_scale, self.left, self.right]

    def product(self, vectors: Tensor, mask: Tensor | None = None) -> Tensor:
        """Q V for (…, o, n) in the vectors' precision; with a mask (o, n): M Q M V."""
        scale = self.log_scale.to(vectors.dtype).exp()
        if mask is not None:
            scale = scale * mask
        left, right = self.left.to(vectors.dtype), self.right.to(vectors.dtype)
        inner = left @ (scale * vectors) @ right
        return scale * (left.mT @ inner @ right.mT)

    def diagonal(self) -> Tensor:
        """diag Q as (o, n): A² ∘ diag(R^T R) diag(L L^T)^T."""
        return (2 * self.log_scale).exp() * torch.outer((self.left**2).sum(0), (self.right**2).sum(1))

    def squared_norm(self, mask: Tensor) -> Tensor:
        """Squared Frobenius norm of M Q M, from entries squared: D² (R^T R)² ⊗ (L L^T)² D², element by element."""
        weights = (2 * self.log_scale).exp() * mask
        outer = (self.left.mT @ self.left) ** 2
        inner = (self.right @ self.right.mT) ** 2
        return (weights * (outer @ weights @ inner)).sum()

    def detached(self) -> Self:
        """A copy that learning no longer changes."""
        return type(self)(*(value.detach().clone() for value in self.parameters))


def auxiliary_loss(factors: KroneckerInverse, rows: Tensor, gamma: float, mask: Tensor) -> Tensor:
    """FishLeg's auxiliary loss averaged over all Gaussian directions u, in closed form and hence without their noise.

    E_u[½ v^T (F + gamma I) v - u^T v], v = M Q M u, equals ½ tr(Q (F + gamma) Q) - tr Q on the active weights; its
    unrestricted minimum is -½ tr (F + gamma I)^-1.

    Args:
        rows: (images, K, o, n) with Σ vec(row) vec(row)^T / images = F.
        mask: (o, n) of 0 and 1.
    """
    curved = (factors.product(rows, mask) ** 2).sum() / len(rows)
    trace = (factors.diagonal() * mask).sum()
    return 0.5 * (curved + gamma * factors.squared_norm(mask)) - trace


def kronecker_start(rows: Tensor, gamma: float, sweeps: int = 50) -> KroneckerInverse:
    """The best Q with D = I in the Kronecker eigenbasis of F: a closed-form start for learning.

    R = diag(√r) U_o^T and L = U_n diag(√l), where U_o and U_n are the eigenvectors of Σ G G^T and Σ G^T G over the
    rows G (the basis of EKFAC, George et al. 2018, arXiv 1806.03884). With s_ij the rows' mean square in that basis
    the auxiliary loss is Σ ½ (s_ij + gamma) r_i² l_j² - r_i l_j, minimised here by turns over r (`out`) and l (`into`).

    Args:
        rows: as in `auxiliary_loss`.
    """
    flat = rows.flatten(0, 1).contiguous()
    tall = flat.flatten(0, 1)
    left = torch.linalg.eigh((flat @ flat.mT).sum(0).double()).eigenvectors
    right = torch.linalg.eigh((tall.mT @ tall).double()).eigenvectors
    rotated = left.to(flat.dtype).mT @ (tall @ right.to(flat.dtype)).view_as(flat)
    damped = (rotated**2).sum(0).double() / len(rows) + gamma
    out = damped.new_ones(damped.shape[0])
    for _ in range(sweeps):
        into = out.sum() / (out**2 @ damped)
        out = into.sum() / (damped @ into**2)
    balance = (out.mean() / into.mean()).sqrt()
    factors = torch.zeros(rows.shape[2:]), (out / balance).sqrt()[:, None] * left.mT, right * (into * balance).sqrt()
    return KroneckerInverse(*(value.to(rows.dtype).contiguous() for value in factors))
