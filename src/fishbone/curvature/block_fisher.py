"""Block-diagonal inverse of the empirical Fisher matrix (WoodFisher, Singh & Alistarh 2020; oBERT, Kurtic et al. 2022).

Each flattened weight tensor is cut into consecutive blocks of B entries, the last one shorter. With per-image
gradients g_i (data labels, eval mode) a block's matrix is gamma I + 1/N Σ g_i g_i^T. The papers build its inverse by
N rank-one Woodbury updates; the Cholesky inverse taken here is the same matrix with less rounding. Gradients of
weights already removed are set to zero, by an explicit mask, so that each block is (F_RR + gamma I)^-1 on the active
weights R. Memory d x B.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fishbone.curvature.layout import Layout


class BlockFisher:
    """See `fishbone.curvature.protocol.Estimator`.

    Args:
        layout: the weights.
        rows: model → (N, d) gradients of N images, as of `fishbone.curvature.rows.empirical_rows`.
        gamma: damping, in units of F.
        block: B.
    """

    def __init__(self, layout: Layout, rows: Callable[[nn.Module], Tensor], gamma: float, block: int):
        self.layout, self.rows, self.gamma = layout, rows, gamma
        self.places = _places(layout.sizes, block)
        self.support = torch.ones(layout.size, dtype=torch.bool)
        self.inverse = torch.empty(0)

    def refine(self, model: nn.Module, mask: Tensor, step: int) -> dict[str, float]:
        self.support = mask.clone()
        self.inverse = inverse_blocks(self._gather(self.rows(model) * mask), self.gamma)
        return {}

    def product(self, vectors: Tensor) -> Tensor:
        parts = self._gather(vectors).movedim(-2, 0)  # (blocks, …, B)
        flat = parts.flatten(1, -2) if parts.dim() > 2 else parts[:, None]
        return self._scatter((flat @ self.inverse.to(vectors.dtype)).reshape(parts.shape).movedim(0, -2))

    def diagonal(self) -> Tensor:
        return self._scatter(self.inverse.diagonal(dim1=1, dim2=2))

    def state(self) -> dict[str, Tensor]:
        return {"inverse": self.inverse, "support": self.support}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.inverse, self.support = state["inverse"], state["support"]

    def _gather(self, vectors: Tensor) -> Tensor:
        """(…, d) → (…, blocks, B), zeros where a tensor's last block is short."""
        padded = torch.cat([vectors, vectors.new_zeros(*vectors.shape[:-1], 1)], dim=-1)
        return padded[..., self.places]

    def _scatter(self, parts: Tensor) -> Tensor:
        """Inverse of `_gather`."""
        return parts.flatten(-2)[..., (self.places < self.layout.size).flatten()]


def inverse_blocks(rows: Tensor, gamma: float) -> Tensor:
    """(N, blocks, B) gradients → (blocks, B, B) inverses of gamma I + G^T G / N, computed in float64."""
    columns = rows.movedim(0, 2).double()
    matrices = columns @ columns.mT / len(rows)
    matrices.diagonal(dim1=1, dim2=2).add_(gamma)
    return torch.cholesky_inverse(torch.linalg.cholesky(matrices)).to(rows.dtype)


def _places(sizes: list[int], block: int) -> Tensor:
    """(blocks, B) positions in the vector; the position d marks padding."""
    total, start, rows = sum(sizes), 0, []
    for size in sizes:
        places = torch.full((-(-size // block) * block,), total)
        places[:size] = torch.arange(start, start + size)
        rows.append(places.view(-1, block))
        start += size
    return torch.cat(rows)
