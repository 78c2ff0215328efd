"""Block-diagonal inverse of the Fisher matrix (WoodFisher, Singh & Alistarh 2020; oBERT, Kurtic et al. 2022).

Each flattened weight tensor is cut into consecutive blocks of B entries, the last one shorter. With gradient
rows g_i (eval mode; the papers' are those of the data's labels, the empirical matrix) a block's matrix is
gamma I + 1/N Σ g_i g_i^T. The papers build its inverse by
N rank-one Woodbury updates; the Cholesky inverse taken here is the same matrix with less rounding. Gradients of
weights already removed are set to zero, by an explicit mask, so that each block is (F_RR + gamma I)^-1 on the active
weights R. Memory d x B.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fishbone.curvature.gradients import Gradients
from fishbone.curvature.layout import Layout

# Each batch reads and writes all d x B entries: two images of ResNet18 at a time take 2.5 times as long as 30.
ROW_BYTES = 300_000_000
CHUNK = 256  # blocks that are inverted together: their copies in float64 stay small beside d x B


class BlockFisher:
    """Estimator of the inverse in blocks; see `fishbone.curvature.protocol.Estimator`.

    Args:
        layout: the prunable weights, and where each layer's lie in one vector (d,).
        matrices: model → (blocks, B, B) undamped matrices: `block_matrices`.
        gamma: damping, in units of F.
        block: B, the weights in a block.
    """

    def __init__(self, layout: Layout, matrices: Callable[[nn.Module], Tensor], gamma: float, block: int) -> None:
        self.matrices, self.gamma, self.block = matrices, gamma, block
        self.parts, self.counts = layout.sizes, counts(layout.sizes, block)
        self.support = torch.ones(layout.size, dtype=torch.bool)
        self.inverse = torch.empty(0)

    def refine(self, model: nn.Module, mask: Tensor, step: int) -> dict[str, float]:
        self.support = mask.clone()
        self.inverse = torch.empty(0)  # so that old and new are never held together
        active = torch.cat([in_blocks(part, self.block) for part in mask.split(self.parts)])
        self.inverse = inverse_blocks(self.matrices(model), self.gamma, active)
        return {}

    def product(self, vectors: Tensor, part: int) -> Tensor:
        blocks = in_blocks(vectors, self.block).movedim(-2, 0)  # (blocks, …, B)
        flat = blocks.flatten(1, -2) if blocks.dim() > 2 else blocks[:, None]
        return (
            (flat @ self._part(part).to(vectors.dtype))
            .reshape(blocks.shape)
            .movedim(0, -2)
            .flatten(-2)[..., : self.parts[part]]
        )

    def diagonal(self, part: int) -> Tensor:
        return self._part(part).diagonal(dim1=1, dim2=2).flatten()[: self.parts[part]]

    def blocks(self, positions: Tensor, part: int) -> Tensor:
        block, place = positions // self.block, positions % self.block
        found = self._part(part)[block[:, :, None], place[:, :, None], place[:, None]]
        return found * (block[:, :, None] == block[:, None])

    def _part(self, part: int) -> Tensor:
        """One part's inverses, (blocks, B, B)."""
        found: Tensor = self.inverse.split(self.counts)[part]
        return found

    def state(self) -> dict[str, Tensor]:
        return {"inverse": self.inverse, "support": self.support}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.inverse, self.support = state["inverse"], state["support"]


def block_matrices(model: nn.Module, gradients: Gradients, block: int) -> Tensor:
    """Return 1/N Σ g g^T of every block, (blocks, B, B), from one pass over the images.

    Args:
        model: the network, as it is.
        gradients: its gradient rows g.
        block: B, the weights in a block.
    """
    numbers = counts(gradients.layout.sizes, block)
    total: Tensor | None = None
    for layers in gradients.batches(model, row_bytes=ROW_BYTES):
        for index, layer in enumerate(layers):
            rows = in_blocks(layer.rows().flatten(0, 1).flatten(1), block).movedim(0, 2)  # (blocks, B, images)
            total = rows.new_zeros(sum(numbers), block, block) if total is None else total
            total.split(numbers)[index].baddbmm_(rows, rows.mT)
    assert total is not None, "there are images"
    return total.div_(len(gradients))


def inverse_blocks(matrices: Tensor, gamma: float, mask: Tensor) -> Tensor:
    """Invert M matrix M + gamma I for each block, in float64, ``CHUNK`` blocks at a time.

    Args:
        matrices: (blocks, B, B), the undamped blocks of F.
        gamma: the damping that is added to F's diagonal.
        mask: (blocks, B), M's diagonal.

    Returns:
        (blocks, B, B), in the precision of ``matrices``.
    """
    inverses = torch.empty_like(matrices)
    for part, kept, out in zip(*(x.split(CHUNK) for x in (matrices, mask, inverses)), strict=True):
        damped = part.double() * (kept[:, :, None] & kept[:, None])
        damped.diagonal(dim1=1, dim2=2).add_(gamma)
        out.copy_(torch.cholesky_inverse(torch.linalg.cholesky(damped)))
    return inverses


def in_blocks(vectors: Tensor, block: int) -> Tensor:
    """Cut one layer's (…, size) into (…, blocks, B), with zeros where the last block is short."""
    blocks: Tensor = F.pad(vectors, (0, -vectors.shape[-1] % block)).unflatten(-1, (-1, block))
    return blocks


def counts(sizes: Sequence[int], block: int) -> list[int]:
    """Return the number of blocks in each layer of so many weights."""
    return [-(-size // block) for size in sizes]
