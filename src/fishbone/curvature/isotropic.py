"""Q = I: no curvature. Saliency θ²/2 then ranks by magnitude and the compensation of other weights is zero."""

import torch
from torch import Tensor, nn


class Isotropic:
    """Estimator Q = I of ``size`` weights; see `fishbone.curvature.protocol.Estimator`."""

    def __init__(self, size: int) -> None:
        self.support = torch.ones(size, dtype=torch.bool)
        self.parts = [size]

    def refine(self, model: nn.Module, mask: Tensor, step: int) -> dict[str, float]:
        return {}

    def product(self, vectors: Tensor, part: int) -> Tensor:
        return vectors

    def diagonal(self, part: int) -> Tensor:
        return torch.ones(len(self.support))

    def blocks(self, positions: Tensor, part: int) -> Tensor:
        return torch.eye(positions.shape[1]).expand(len(positions), -1, -1)

    def state(self) -> dict[str, Tensor]:
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        pass
