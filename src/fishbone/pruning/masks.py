"""Which weights go: the Optimal Brain Surgeon's saliency, ranked over all layers, with exact counts.

Removing weight q alone and compensating costs θ_q² / (2 [Q]_qq), Q = (F + gamma I)^-1 (Hassibi & Stork 1993;
the importance metric of FLS). Masks are explicit booleans, never read back from zero values.
"""

import math

import torch
from torch import Tensor


def saliency(weights: Tensor, diagonal: Tensor) -> Tensor:
    """θ²/(2 diag Q), (d,) each."""
    return weights**2 / (2 * diagonal)


def keep(scores: Tensor, mask: Tensor, sparsity: float) -> Tensor:
    """The mask after exactly ``floor(sparsity * d)`` weights are gone: those already gone, then the lowest scores.

    Ties go by position, so the same scores always give the same mask.

    Raises:
        ValueError: more weights than that are gone already.
    """
    gone = count(sparsity, len(mask))
    if gone < int((~mask).sum()):
        raise ValueError(f"sparsity {sparsity} is below the present {(~mask).double().mean().item():.6f}")
    order = torch.where(mask, scores, -torch.inf).argsort(stable=True)
    kept = torch.ones_like(mask)
    kept[order[:gone]] = False
    return kept


def count(sparsity: float, size: int) -> int:
    """floor(sparsity * size), safe against 0.7 * 10 = 6.999…"""
    return math.floor(sparsity * size + 1e-9)


def density_steps(sparsities: list[float], steps_per_halving: int) -> list[float]:
    """Sparsities to visit one after the other: the density falls by a constant ratio between those asked for.

    M-FAC's geometric schedule, cut so that every asked sparsity (ascending) is hit exactly. From one to the next
    it takes ``steps_per_halving * log2(density ratio)`` steps, rounded, at least one.
    """
    visited, density = [], 1.0
    for sparsity in sparsities:
        ratio = (1 - sparsity) / density
        steps = max(1, round(-steps_per_halving * math.log2(ratio)))
        visited += [1 - density * ratio ** (k / steps) for k in range(1, steps)] + [sparsity]
        density = 1 - sparsity
    return visited
