"""What one or two passes over gradient rows tell of each layer: second moments, in given bases or along modes.

Everything is a sum over images, so memory is that of the result and of one batch of one layer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fishbone.curvature.gradients import Gradients, LayerGradients
from fishbone.curvature.kronecker import along_modes


@dataclass(frozen=True)
class Spectrum:
    """One layer's Fisher matrix in Kronecker eigenbases.

    Attributes:
        bases: orthogonal, rows are eigenvectors: (o, o) and (n, n), or (o, o), (i, i) and (k, k).
        squares: (o, n), mean square of the rows along each product of eigenvectors.
    """

    bases: tuple[Tensor, ...]
    squares: Tensor


def row_spectra(
    model: nn.Module, gradients: Gradients, modes: Sequence[Sequence[int]], start: int = 0
) -> list[Spectrum]:
    """Return each layer's spectrum in the eigenbases of the rows' own second moments along each mode: two passes.

    Args:
        model: the network, as it is.
        gradients: rows of its gradients on the curvature images.
        modes: each layer's modes, (o, n) or (o, i, k).
        start: the images before it are left out.
    """
    moments = [[torch.zeros(())] * len(shape) for shape in modes]
    for layers in gradients.batches(model, start):
        for layer, shape, sums in zip(layers, modes, moments, strict=True):
            rows = layer.rows().flatten(0, 1).unflatten(-1, shape[1:])
            for mode in range(len(shape)):
                flat = rows.movedim(mode + 1, 0).flatten(1)
                sums[mode] = sums[mode] + flat @ flat.T
    bases = [tuple(eigenbasis(moment) for moment in sums) for sums in moments]
    return in_bases(model, gradients, bases, start)


def activation_spectra(
    model: nn.Module, gradients: Gradients, modes: Sequence[Sequence[int]], start: int = 0
) -> list[Spectrum]:
    """Return each layer's spectrum in K-FAC's eigenbases (EKFAC, George et al. 2018): two passes.

    These are the bases of activations and output gradients. All images weigh alike in the activations, while a few that
    the network is unsure of make up the rows' moments: where images are few or the network fits nearly all of them,
    these bases are the better ones. Arguments are those of `row_spectra`.
    """
    found = factors(model, gradients, modes, start)
    bases = [tuple(eigenbasis(moment) for moment in moments) for moments in found]
    return in_bases(model, gradients, bases, start)


def in_bases(model: nn.Module, gradients: Gradients, bases: Sequence[tuple[Tensor, ...]], start: int) -> list[Spectrum]:
    """Return each layer's mean squares in given orthogonal bases, one tuple a layer: one pass."""
    means = _mean_squares(model, gradients, start, lambda index, rows: along_modes(bases[index], rows))
    return [Spectrum(basis, own) for basis, own in zip(bases, gradients.layout.blocks(means), strict=True)]


def factors(
    model: nn.Module, gradients: Gradients, modes: Sequence[Sequence[int]], start: int = 0
) -> list[tuple[Tensor, ...]]:
    """Return K-FAC's factors of each layer: Γ (o, o) and Ω (n, n), F ≈ Γ ⊗ Ω (Martens & Grosse, arXiv 1503.05671).

    Convolutions as in Grosse & Martens (arXiv 1602.01407): Ω sums over positions and Γ averages over them. For modes
    (o, i, k) Ω's partial traces stand in its place: (i, i) summed over kernel positions and (k, k) summed over inputs.
    Groups and several calls are summed alike, so a grouped layer's Γ couples outputs of one group only.
    Arguments are those of `row_spectra`.
    """
    sums = [[torch.zeros(())] * len(shape) for shape in modes]
    for layers in gradients.batches(model, start):
        for layer, shape, total in zip(layers, modes, sums, strict=True):
            for mode, moment in enumerate((_outputs(layer), *_inputs(layer, shape[1:]))):
                total[mode] = total[mode] + moment
    images = len(gradients) - start
    return [tuple(moment / images for moment in total) for total in sums]


def squares(model: nn.Module, gradients: Gradients, start: int = 0) -> Tensor:
    """Return diag F, (d,); the images before ``start`` are left out."""
    return _mean_squares(model, gradients, start, lambda index, rows: rows)


def rows(model: nn.Module, gradients: Gradients) -> Tensor:
    """Return all rows, (images, K, d): for estimators that need them at once."""
    parts = [gradients.layout.join([layer.rows() for layer in layers]) for layers in gradients.batches(model)]
    return torch.cat(parts)


def eigenbasis(moment: Tensor) -> Tensor:
    """Return the eigenvectors of a symmetric matrix as rows; the decomposition is in float64."""
    vectors: Tensor = torch.linalg.eigh(moment.double()).eigenvectors
    return vectors.mT.to(moment.dtype).contiguous()


def _mean_squares(
    model: nn.Module, gradients: Gradients, start: int, turned: Callable[[int, Tensor], Tensor]
) -> Tensor:
    """Mean square of the rows, which ``turned`` may change first, layer by layer (index, rows): (d,)."""
    total: Tensor | None = None
    layout = gradients.layout
    for layers in gradients.batches(model, start):
        for index, layer in enumerate(layers):
            own = turned(index, layer.rows()).square_().sum((0, 1))
            total = own.new_zeros(layout.size) if total is None else total
            layout.blocks(total)[index].add_(own)  # in place: sums made anew at every batch leave the heap in pieces
    assert total is not None, "there are images"
    return total.div_(len(gradients) - start)


def _outputs(layer: LayerGradients) -> Tensor:
    """Σ over images, directions and calls of the mean over positions of delta delta^T, block-diagonal over groups."""
    total = torch.zeros(())
    for delta in layer.deltas:
        by_group = delta.movedim(2, 0).movedim(3, 1).flatten(2)  # (groups, o / groups, B K positions)
        total = total + torch.block_diag(*(by_group @ by_group.mT / delta.shape[-1]))
    return total


def _inputs(layer: LayerGradients, shape: Sequence[int]) -> list[Tensor]:
    """Σ over images and calls of Σ over positions of patch patch^T along each of the input modes, mean over groups."""
    totals = [torch.zeros(())] * len(shape)
    for patch in layer.patches():
        groups = patch.shape[1]
        by_mode = patch.unflatten(2, shape)  # (B, groups, *shape, positions)
        for mode in range(len(shape)):
            flat = by_mode.movedim(2 + mode, 0).flatten(1)
            totals[mode] = totals[mode] + flat @ flat.T / groups
    return totals
