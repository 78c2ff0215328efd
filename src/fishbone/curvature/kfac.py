"""K-FAC and EKFAC: one Kronecker product a layer, from activations and output gradients.

K-FAC (Martens & Grosse 2015; convolutions: Grosse & Martens 2016) takes F ≈ Γ ⊗ Ω, damped here as a whole,
(Γ ⊗ Ω + gamma I)^-1, which its eigenbases make exact; the usual factored damping is a cheaper approximation of that.
EKFAC (George et al. 2018, arXiv 1806.03884) keeps the bases and replaces the products of eigenvalues by the rows' mean
squares along them.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fishbone.curvature.gradients import Gradients
from fishbone.curvature.kronecker import KroneckerInverse
from fishbone.curvature.layout import Layout
from fishbone.curvature.starts import spectral_start
from fishbone.curvature.statistics import Spectrum, activation_spectra, eigenbasis, factors


class Kfac:
    """Estimator of one Kronecker product a layer; see `fishbone.curvature.protocol.Estimator`.

    Args:
        layout: the prunable weights, and where each layer's lie in one vector (d,).
        spectra: model → one `Spectrum` a layer: `kfac_spectra` or `ekfac_spectra`, remembered or not.
        gamma: damping, in units of F.
    """

    def __init__(self, layout: Layout, spectra: Callable[[nn.Module], list[Spectrum]], gamma: float) -> None:
        self.layout, self.spectra, self.gamma = layout, spectra, gamma
        self.support = torch.ones(layout.size, dtype=torch.bool)
        self.parts = layout.sizes
        self.layers: list[KroneckerInverse] = []

    def refine(self, model: nn.Module, mask: Tensor, step: int) -> dict[str, float]:
        self.layers = [spectral_start(spectrum, self.gamma) for spectrum in self.spectra(model)]
        return {}

    def product(self, vectors: Tensor, part: int) -> Tensor:
        return self.layers[part].product(vectors.unflatten(-1, self.layout.matrices[part])).flatten(-2)

    def diagonal(self, part: int) -> Tensor:
        return self.layers[part].diagonal().flatten()

    def blocks(self, positions: Tensor, part: int) -> Tensor:
        return self.layers[part].blocks(positions)

    def state(self) -> dict[str, Tensor]:
        return {f"{i}/{part}": p for i, layer in enumerate(self.layers) for part, p in enumerate(layer.parameters)}

    def restore(self, state: dict[str, Tensor]) -> None:
        parts = [[state[f"{i}/{part}"] for part in range(3)] for i in range(len(self.layout.names))]
        self.layers = [KroneckerInverse(scale, (left, right), "inside") for scale, left, right in parts]


def kfac_spectra(model: nn.Module, gradients: Gradients) -> list[Spectrum]:
    """Return each layer's eigenbases of Γ and Ω with the products of their eigenvalues: K-FAC."""
    spectra = []
    for out, inner in factors(model, gradients, gradients.layout.matrices):
        bases = eigenbasis(out), eigenbasis(inner)
        left, right = (
            ((basis @ moment) * basis).sum(1).clamp(min=0) for basis, moment in zip(bases, (out, inner), strict=True)
        )
        spectra.append(Spectrum(bases, torch.outer(left, right)))
    return spectra


def ekfac_spectra(model: nn.Module, gradients: Gradients) -> list[Spectrum]:
    """Return the same bases with the gradient rows' mean squares along them: EKFAC."""
    return activation_spectra(model, gradients, gradients.layout.matrices)
