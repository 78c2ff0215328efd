"""Which weights go: the Optimal Brain Surgeon's saliency, ranked over all layers, with exact counts.

Removing weight q alone and compensating costs θ_q² / (2 [Q]_qq), Q = (F + gamma I)^-1 (Hassibi & Stork 1993;
the importance metric of FLS). Masks are explicit booleans, never read back from zero values.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from fishbone.curvature.layout import Layout
from fishbone.errors import ArgumentError
from fishbone.pruning.patterns import UNSTRUCTURED, Pattern, groups

ENTRIES = 1 << 14  # of all Q_GG held at once


def saliency(weights: Tensor, diagonal: Tensor) -> Tensor:
    """Return each weight's OBS saliency θ² / (2 diag Q), (d,), for weights and diagonal (d,)."""
    return (weights**2).div_(diagonal).div_(2)


def group_losses(weights: Tensor, group: Tensor, blocks: Callable[[Tensor], Tensor]) -> Tensor:
    """Share out to its weights what the loss rises by when a whole group goes: ½ θ_G^T (Q_GG)^-1 θ_G.

    Args:
        weights: one part's θ, (p,).
        group: (p,), ascending: the group of each weight.
        blocks: positions (G, c) → Q_GG (G, c, c).

    Returns:
        (p,); a group's entries are equal and sum to its loss.
    """
    _, sizes = group.unique_consecutive(return_counts=True)
    starts, losses = sizes.cumsum(0) - sizes, torch.empty_like(weights)
    for size in sizes.unique().tolist():
        for first in starts[sizes == size].split(max(1, ENTRIES // size**2)):
            positions = first[:, None] + torch.arange(size)
            own = weights[positions].double()[..., None]
            matrix = blocks(positions).double()
            factor, failed = torch.linalg.cholesky_ex(matrix)
            whole = torch.linalg.solve_triangular(factor, own, upper=False).square().sum((1, 2)) / 2
            whole[failed > 0] = torch.nan  # float32 rounded Q_GG to indefinite: such groups are ranked last
            losses[positions] = (whole / size).to(losses.dtype)[:, None].expand(-1, size)
    return losses


def surviving(
    scores: Tensor,
    mask: Tensor,
    sparsity: float,
    layout: Layout,
    pattern: Pattern = UNSTRUCTURED,
    scope: str = "global",
) -> Tensor:
    """Return the mask after ``floor(sparsity * d)`` weights are gone: those already gone, then the lowest scores.

    A group scores the mean of its weights' scores: the predicted rise of the loss for each weight that goes. Whole
    groups go as long as the count is not exceeded, so unstructured counts are exact. Of N:M groups each loses
    ``floor(sparsity * M)`` weights. Ties go by position, so the same scores always give the same mask.

    Args:
        scores: (d,), what a weight is worth; overwritten.
        mask: (d,) boolean, True for weights that are left so far.
        sparsity: fraction of the d weights that shall be gone.
        layout: the layers that the d weights are of.
        pattern: which weights go together.
        scope: ``global``, or ``layer`` with the same sparsity in each.

    Raises:
        ArgumentError: more weights than that are gone already.
    """
    if pattern.kind == "n_of_m":
        return _surviving_in_groups(scores, mask, sparsity, groups(layout, pattern), pattern)
    if scope == "global":
        return _surviving(scores, mask, sparsity, None if pattern == UNSTRUCTURED else groups(layout, pattern))
    parts = [part.split(layout.sizes) for part in (scores, mask, groups(layout, pattern))]
    return torch.cat([_surviving(s, m, sparsity, g - g.min()) for s, m, g in zip(*parts, strict=True)])


def _surviving(scores: Tensor, mask: Tensor, sparsity: float, group: Tensor | None) -> Tensor:
    gone = count(sparsity, len(mask))
    if gone < int((~mask).sum()):
        raise ArgumentError(f"sparsity {sparsity} is below the present {(~mask).double().mean().item():.6f}")
    kept = torch.ones_like(mask)
    if group is None:
        return kept if gone == 0 else ~_lowest(scores.masked_fill_(~mask, -torch.inf), gone)
    sizes = torch.bincount(group)
    totals = scores.new_zeros(len(sizes), dtype=torch.float64).index_add_(0, group, scores.double())
    active = torch.zeros(len(sizes), dtype=torch.bool).index_put_((group,), mask, accumulate=False)
    order = torch.where(active, totals / sizes, -torch.inf).argsort(stable=True)
    chosen = order[sizes[order].cumsum(0) <= gone]
    kept[torch.isin(group, chosen)] = False
    return kept


def _lowest(scores: Tensor, count: int) -> Tensor:
    """Where the ``count`` lowest of ``scores`` (d,) are; ties by position, what is not a number last. No sorting."""
    scores.nan_to_num_(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
    threshold = np.partition(scores.numpy(), count - 1)[count - 1]
    chosen: Tensor = scores < threshold
    tied = (scores == threshold).nonzero()[:, 0]
    chosen[tied[: count - int(chosen.sum())]] = True
    return chosen


def _surviving_in_groups(scores: Tensor, mask: Tensor, sparsity: float, group: Tensor, pattern: Pattern) -> Tensor:
    gone = count(sparsity, pattern.size)
    places = group.argsort(stable=True).view(-1, pattern.size)
    if gone < int((~mask)[places].sum(1).max()):
        raise ArgumentError(f"sparsity {sparsity} is below the present one")
    order = torch.where(mask, scores, -torch.inf)[places].argsort(dim=1, stable=True)
    kept = torch.ones_like(mask)
    kept[places.gather(1, order[:, :gone]).flatten()] = False
    return kept


def count(sparsity: float, size: int) -> int:
    """Return floor(sparsity * size), safe against 0.7 * 10 = 6.999… in floats."""
    return math.floor(sparsity * size + 1e-9)


def density_steps(sparsities: list[float], steps_per_halving: int) -> list[float]:
    """Return the sparsities to visit in turn: the density falls by a constant ratio between those asked for.

    M-FAC's geometric schedule, cut so that every asked sparsity (ascending) is hit exactly. From one to the next
    it takes ``steps_per_halving * log2(density ratio)`` steps, rounded, at least one.

    Args:
        sparsities: those asked for, ascending, in (0, 1).
        steps_per_halving: how many steps it takes to halve the density.

    Examples:
        >>> density_steps([0.75, 0.9375], steps_per_halving=1)
        [0.5, 0.75, 0.875, 0.9375]
    """
    visited, density = [], 1.0
    for sparsity in sparsities:
        ratio = (1 - sparsity) / density
        steps = max(1, round(-steps_per_halving * math.log2(ratio)))
        visited += [1 - density * ratio ** (k / steps) for k in range(1, steps)] + [sparsity]
        density = 1 - sparsity
    return visited


def cubic_steps(sparsity: float, steps: int) -> list[float]:
    """Return s (1 - (1 - k/K)^3) for k = 1 … K: many weights go early, few late (Zhu & Gupta, arXiv 1710.01878)."""
    return [sparsity * (1 - (1 - k / steps) ** 3) for k in range(1, steps)] + [sparsity]


def geometric_steps(sparsity: float, steps: int) -> list[float]:
    """Return 1 - (1 - s)^(k/K) for k = 1 … K: the density falls by one ratio a step (as in M-FAC)."""
    return [1 - (1 - sparsity) ** (k / steps) for k in range(1, steps)] + [sparsity]
