"""The diagonal of the Fisher matrix alone: Optimal Brain Damage (LeCun et al. 1990), Q = 1 / (diag F + gamma)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Diagonal:
    """Estimator of the inverse's diagonal alone; see `fishbone.curvature.protocol.Estimator`.

    Args:
        size: d, the number of weights.
        squares: model → diag F, (d,).
        gamma: damping, in units of F.
    """

    def __init__(self, size: int, squares: Callable[[nn.Module], Tensor], gamma: float) -> None:
        self.squares, self.gamma = squares, gamma
        self.support = torch.ones(size, dtype=torch.bool)
        self.parts = [size]
        self.inverse = torch.empty(0)

    def refine(self, model: nn.Module, mask: Tensor, step: int) -> dict[str, float]:
        self.inverse = 1 / (self.squares(model) + self.gamma)
        return {}

    def product(self, vectors: Tensor, part: int) -> Tensor:
        return vectors * self.inverse.to(vectors.dtype)

    def diagonal(self, part: int) -> Tensor:
        return self.inverse

    def blocks(self, positions: Tensor, part: int) -> Tensor:
        return torch.diag_embed(self.inverse[positions])

    def state(self) -> dict[str, Tensor]:
        return {"inverse": self.inverse}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.inverse = state["inverse"]
