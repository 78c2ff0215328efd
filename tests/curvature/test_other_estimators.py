"""Diagonal, M-FAC, K-FAC and EKFAC against dense matrices."""

import pytest
import torch
from given_gradients import GivenGradients, applied, diagonal

from fishbone.curvature.block_fisher import BlockFisher, block_matrices
from fishbone.curvature.diagonal import Diagonal
from fishbone.curvature.gradients import Gradients
from fishbone.curvature.isotropic import Isotropic
from fishbone.curvature.kfac import Kfac, ekfac_spectra, kfac_spectra
from fishbone.curvature.layout import Layout
from fishbone.curvature.likelihoods import Gaussian
from fishbone.curvature.mfac import Mfac, half_inverse
from fishbone.curvature.statistics import activation_spectra, factors, row_spectra, rows, squares
from fishbone.pruning.estimators import all_rows

DOUBLE = {"dtype": torch.float64}
EYE = torch.eye(12, **DOUBLE)


@pytest.fixture
def given() -> torch.Tensor:
    return torch.randn(30, 12, generator=torch.Generator().manual_seed(0), **DOUBLE)


def damped_inverse(given, gamma) -> torch.Tensor:
    return torch.linalg.inv(given.T @ given / len(given) + gamma * EYE)


@pytest.mark.parametrize("gamma", [1e-1, 1e-3, 1e-5])
def test_mfac_is_the_dense_inverse_of_all_weights_together(given, gamma):
    for some in (given, given[:5]):  # also with fewer rows than weights
        estimator = Mfac(12, lambda model, source=some: source, gamma)
        estimator.refine(None, torch.ones(12, dtype=torch.bool), 0)
        inverse = damped_inverse(some, gamma)
        torch.testing.assert_close(applied(estimator, EYE), inverse, rtol=1e-7, atol=1e-7 / gamma)
        torch.testing.assert_close(diagonal(estimator), inverse.diagonal(), rtol=1e-6, atol=1e-7 / gamma)


def test_mfac_uses_every_row_and_equals_the_published_recursion(given):
    gamma, count = 1e-2, len(given)
    inverse = EYE / gamma
    for row in given:
        column = inverse @ row
        inverse = inverse - torch.outer(column, column) / (count + row @ column)
    half = half_inverse(given, gamma)
    torch.testing.assert_close(EYE / gamma - half.T @ half, inverse, rtol=1e-8, atol=1e-8)


def test_mfac_of_several_rows_an_image_has_the_scale_of_the_others(mixed):
    model, layout, inputs, _ = mixed
    source = Gradients(layout, inputs, "exact")
    made = all_rows(model, source)
    torch.testing.assert_close((made**2).sum(0) / len(made), squares(model, source), rtol=1e-10, atol=1e-14)


def test_mfac_takes_removed_weights_out_before_inverting(given):
    mask = torch.arange(12) % 3 != 0
    estimator = Mfac(12, lambda model: given, 1e-2)
    estimator.refine(None, mask, 0)
    alone = torch.linalg.inv((given.T @ given / 30)[mask][:, mask] + 1e-2 * torch.eye(8, **DOUBLE))
    torch.testing.assert_close(applied(estimator, EYE)[mask][:, mask], alone, rtol=1e-8, atol=1e-8)


def test_diagonal_is_one_over_damped_mean_squares(given):
    layout = Layout(("a", "b"), ((2, 3), (3, 2)))
    source = GivenGradients(layout, given[:, None])
    estimator = Diagonal(12, lambda model: squares(model, source), 0.1)
    estimator.refine(None, torch.ones(12, dtype=torch.bool), 0)
    expected = 1 / ((given**2).mean(0) + 0.1)
    torch.testing.assert_close(diagonal(estimator), expected)
    torch.testing.assert_close(applied(estimator, EYE), torch.diag(expected))


def test_kfac_of_a_linear_gaussian_model_is_the_exact_damped_inverse():
    """y = W x with unit noise: F = I ⊗ E[x x^T], a Kronecker product."""
    torch.manual_seed(0)
    model, inputs = torch.nn.Sequential(torch.nn.Linear(4, 3, bias=False)).double(), torch.randn(20, 4, **DOUBLE)
    layout = Layout.of(model, ("0.weight",))
    gradients = Gradients(layout, inputs, "exact", Gaussian())
    exact = torch.linalg.inv(torch.kron(torch.eye(3, **DOUBLE), inputs.T @ inputs / 20) + 0.05 * EYE)
    for make in (kfac_spectra, ekfac_spectra):
        estimator = Kfac(layout, lambda m, make=make: make(m, gradients), 0.05)
        estimator.refine(model, torch.ones(12, dtype=torch.bool), 0)
        torch.testing.assert_close(applied(estimator, EYE), exact, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(diagonal(estimator), exact.diagonal(), rtol=1e-9, atol=1e-9)
        other = Kfac(layout, None, 0.05)
        other.restore(estimator.state())
        assert torch.equal(applied(other, EYE), applied(estimator, EYE))


def test_kfac_factors_of_a_linear_layer_are_second_moments_of_inputs_and_output_gradients():
    torch.manual_seed(0)
    model, inputs = torch.nn.Sequential(torch.nn.Linear(4, 3)).double(), torch.randn(9, 4, **DOUBLE)
    gradients = Gradients(Layout.of(model, ("0.weight",)), inputs, "exact")
    ((out, inner),) = factors(model, gradients, [(3, 4)])
    torch.testing.assert_close(inner, inputs.T @ inputs / 9)
    p = model(inputs).softmax(1).detach()
    torch.testing.assert_close(out, (torch.diag_embed(p) - p[:, :, None] * p[:, None]).mean(0))


def test_kfac_of_a_convolution_is_exact_where_positions_do_not_interact():
    """A 1x1 convolution of an image with one position is a linear layer."""
    torch.manual_seed(0)
    conv = torch.nn.Sequential(torch.nn.Conv2d(4, 3, 1, bias=False), torch.nn.Flatten()).double()
    inputs = torch.randn(20, 4, 1, 1, **DOUBLE)
    gradients = Gradients(Layout.of(conv, ("0.weight",)), inputs, "exact", Gaussian())
    ((out, inner),) = factors(conv, gradients, [(3, 4)])
    torch.testing.assert_close(torch.kron(out, inner), torch.kron(torch.eye(3, **DOUBLE), inner))


def test_ekfac_keeps_the_trace_and_is_nearer_to_the_fisher_matrix_than_kfac(mixed):
    model, layout, inputs, _ = mixed
    gradients = Gradients(layout, inputs, "exact")
    row = rows(model, gradients).flatten(0, 1)
    fisher = layout.blocks(row)
    plain, corrected = kfac_spectra(model, gradients), ekfac_spectra(model, gradients)
    own = row_spectra(model, gradients, layout.matrices)
    for index, block in enumerate(fisher):
        dense = torch.einsum("kx,ky->xy", block.flatten(1), block.flatten(1)) / len(inputs)

        def error(spectrum, dense=dense):
            basis = torch.kron(*spectrum.bases)
            return (basis.T @ torch.diag(spectrum.squares.flatten()) @ basis - dense).norm()

        assert corrected[index].squares.sum().item() == pytest.approx(dense.trace().item(), rel=1e-9)
        assert error(corrected[index]) <= error(plain[index]) + 1e-12
        assert own[index].squares.sum().item() == pytest.approx(dense.trace().item(), rel=1e-9)


@pytest.mark.parametrize("make", [row_spectra, activation_spectra])
def test_three_way_spectrum_keeps_the_trace_in_orthogonal_bases(mixed, make):
    model, layout, inputs, _ = mixed
    gradients = Gradients(layout, inputs, "exact")
    modes = [(s[0], s[1], s[2] * s[3]) if len(s) == 4 else s for s in layout.shapes]
    diagonals = layout.blocks(squares(model, gradients))
    for spectrum, own in zip(make(model, gradients, modes), diagonals, strict=True):
        assert spectrum.squares.sum().item() == pytest.approx(own.sum().item(), rel=1e-9)
        for basis in spectrum.bases:
            torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis), **DOUBLE), rtol=1e-9, atol=1e-9)


def test_three_way_factors_are_partial_traces(mixed):
    model, _, inputs, _ = mixed
    layout = Layout.of(model, ("dilated.weight",))  # (3, 4, 3, 2)
    gradients = Gradients(layout, inputs, "exact")
    ((_, inner),) = factors(model, gradients, [(3, 24)])
    ((_, by_input, by_position),) = factors(model, gradients, [(3, 4, 6)])
    tensor = inner.view(4, 6, 4, 6)
    torch.testing.assert_close(by_input, torch.einsum("ikjk->ij", tensor))
    torch.testing.assert_close(by_position, torch.einsum("ikil->kl", tensor))


def test_blocks_of_estimators_without_kronecker_factors(given):
    layout = Layout(("a", "b"), ((2, 3), (3, 2)))
    source = GivenGradients(layout, given[:, None])
    estimators = [
        Mfac(12, lambda model: given, 1e-2),
        Diagonal(12, lambda model: squares(model, source), 1e-2),
        BlockFisher(layout, lambda model: block_matrices(model, source, 4), 1e-2, 4),
        Isotropic(12),
    ]
    for estimator in estimators:
        estimator.refine(None, torch.ones(12, dtype=torch.bool), 0)
        matrix, start = applied(estimator, EYE), 0
        for part, size in enumerate(estimator.parts):
            own = matrix[start : start + size, start : start + size]
            positions = torch.tensor([[0, 1, 2], [3, 4, 5]])  # the second crosses the end of a block of four
            expected = own[positions[:, :, None], positions[:, None]]
            torch.testing.assert_close(estimator.blocks(positions, part).to(expected), expected, rtol=1e-9, atol=1e-9)
            start += size
