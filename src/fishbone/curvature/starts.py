"""Closed forms of one layer's inverse Fisher model: where learning starts, and what it must beat."""

import torch
from torch import Tensor

from fishbone.curvature.kronecker import KroneckerInverse, Place
from fishbone.curvature.statistics import Spectrum

SWEEPS = 50  # of `factored_start`


def isotropic_start(shape: tuple[int, ...], gamma: float, place: Place) -> KroneckerInverse:
    """Make Q = I / gamma, exact where F = 0.

    Args:
        shape: sizes of the modes, (o, n) or (o, i, k).
        gamma: the damping that is added to F's diagonal.
        place: where the diagonal stands; see `KroneckerInverse`.
    """
    first, *others = shape
    log_scale = torch.full((first, torch.Size(others).numel()), gamma).log() / -2
    return KroneckerInverse(log_scale, tuple(torch.eye(size) for size in shape), place)


def diagonal_start(squares: Tensor, shape: tuple[int, ...], gamma: float, place: Place) -> KroneckerInverse:
    """Make Q = 1 / (diag F + gamma).

    Args:
        squares: diag F as (o, n).
        shape: sizes of the modes, (o, n) or (o, i, k).
        gamma: the damping that is added to F's diagonal.
        place: where the diagonal stands; see `KroneckerInverse`.
    """
    return KroneckerInverse((squares + gamma).log() / -2, tuple(torch.eye(size) for size in shape), place)


def spectral_start(spectrum: Spectrum, gamma: float) -> KroneckerInverse:
    """Make Q = B^T diag(1 / (s + gamma)) B in the eigenbases B: the diagonal inside."""
    return KroneckerInverse((spectrum.squares + gamma).log() / -2, spectrum.bases, "inside")


def factored_start(spectrum: Spectrum, gamma: float) -> KroneckerInverse:
    """Make the best Q = R^T R ⊗ L^T L in two eigenbases: FishLeg's form with D = I.

    R = diag(√r) U and L = diag(√l) W for eigenbases U and W. With s_ij the rows' mean square along them the
    auxiliary loss is Σ ½ (s_ij + gamma) r_i² l_j² - r_i l_j, minimised here by turns over r (`out`) and l (`into`).
    """
    damped = spectrum.squares.double() + gamma
    out = damped.new_ones(damped.shape[0])
    for _ in range(SWEEPS):
        into = out.sum() / (out**2 @ damped)
        out = into.sum() / (damped @ into**2)
    balance = (out.mean() / into.mean()).sqrt()
    left, right = spectrum.bases
    scaled = (out / balance).sqrt()[:, None] * left, (into * balance).sqrt()[:, None] * right
    bases = tuple(basis.to(left.dtype).contiguous() for basis in scaled)
    return KroneckerInverse(torch.zeros_like(spectrum.squares), bases, "outside")
