"""Block-diagonal inverse of the Fisher matrix (WoodFisher, Singh & Alistarh 2020; oBERT, Kurtic et al. 2022).

Each flattened weight tensor is cut into consecutive blocks of B entries, the last one shorter. With gradient
rows g_i (eval mode; the papers' are those of the data's labels, the empirical matrix) a block's matrix is
gamma I + 1/N Σ g_i g_i^T. The papers build its inverse by
N rank-one Woodbury updates; the Cholesky inverse taken here is the same matrix with less rounding. Gradients of
weights already removed are set to zero, by an explicit mask, so that each block is (F_RR + gamma I)^-1 on the active
weights R. Memory d x B.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fishbone.curvature.gradients import Gradients
from fishbone.curvature.layout import Layout


class BlockFisher:
    """See `fishbone.curvature.protocol.Estimator`.

    Args:
        layout: the weights.
        matrices: model → (blocks, B, B) undamped matrices: `block_matrices`, remembered or not.
        gamma: damping, in units of F.
        block: B.
    """

    def __init__(self, layout: Layout, matrices: Callable[[nn.Module], Tensor], gamma: float, block: int):
        self.layout, self.matrices, self.gamma = layout, matrices, gamma
        self.places = places(layout.sizes, block)
        self.support = torch.ones(layout.size, dtype=torch.bool)
        self.inverse = torch.empty(0)

    def refine(self, model: nn.Module, mask: Tensor, step: int) -> dict[str, float]:
        self.support = mask.clone()
        self.inverse = torch.empty(0)  # so that old and new are never held together
        self.inverse = inverse_blocks(self.matrices(model), self.gamma, _gather(mask, self.places))
        return {}

    def product(self, vectors: Tensor) -> Tensor:
        parts = _gather(vectors, self.places).movedim(-2, 0)  # (blocks, …, B)
        flat = parts.flatten(1, -2) if parts.dim() > 2 else parts[:, None]
        return self._scatter((flat @ self.inverse.to(vectors.dtype)).reshape(parts.shape).movedim(0, -2))

    def diagonal(self) -> Tensor:
        return self._scatter(self.inverse.diagonal(dim1=1, dim2=2))

    def state(self) -> dict[str, Tensor]:
        return {"inverse": self.inverse, "support": self.support}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.inverse, self.support = state["inverse"], state["support"]

    def _scatter(self, parts: Tensor) -> Tensor:
        """(…, blocks, B) → (…, d)."""
        return parts.flatten(-2)[..., (self.places < self.layout.size).flatten()]


def block_matrices(model: nn.Module, gradients: Gradients, block: int) -> Tensor:
    """1/N Σ g g^T of every block, (blocks, B, B), from one pass over the images."""
    layout, positions = gradients.layout, places(gradients.layout.sizes, block)
    total = gradients.inputs.new_zeros(len(positions), block, block)
    for layers in gradients.batches(model):
        rows = layout.join([layer.rows() for layer in layers]).flatten(0, 1)
        parts = _gather(rows, positions).movedim(0, 2)  # (blocks, B, images)
        total.baddbmm_(parts, parts.mT)
    return total.div_(len(gradients))


def inverse_blocks(matrices: Tensor, gamma: float, mask: Tensor, chunk: int = 4096) -> Tensor:
    """(blocks, B, B) → inverses of M matrix M + gamma I, computed in float64, ``chunk`` blocks at a time.

    Args:
        mask: (blocks, B), M's diagonal.
    """
    inverses = torch.empty_like(matrices)
    for part, kept, out in zip(matrices.split(chunk), mask.split(chunk), inverses.split(chunk), strict=True):
        damped = part.double() * (kept[:, :, None] & kept[:, None])
        damped.diagonal(dim1=1, dim2=2).add_(gamma)
        out.copy_(torch.cholesky_inverse(torch.linalg.cholesky(damped)))
    return inverses


def _gather(vectors: Tensor, positions: Tensor) -> Tensor:
    """(…, d) → (…, blocks, B), zeros where a tensor's last block is short."""
    padded = torch.cat([vectors, vectors.new_zeros(*vectors.shape[:-1], 1)], dim=-1)
    return padded[..., positions]


def places(sizes: list[int], block: int) -> Tensor:
    """(blocks, B) positions in the vector; the position d marks padding."""
    total, start, rows = sum(sizes), 0, []
    for size in sizes:
        padded = torch.full((-(-size // block) * block,), total)
        padded[:size] = torch.arange(start, start + size)
        rows.append(padded.view(-1, block))
        start += size
    return torch.cat(rows)
