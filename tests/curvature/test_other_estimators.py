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


LAYOUT = Layout(("a", "b"), ((2, 3), (3, 2)))
ESTIMATORS = pytest.mark.parametrize("kind", ["mfac", "diagonal", "blocks", "isotropic", "kfac"])


def made(kind, given) -> Mfac | Diagonal | BlockFisher | Isotropic | Kfac:
    """A new estimator, damped by 0.01, of 12 weights in two layers."""
    source = GivenGradients(LAYOUT, given[:, None])
    if kind == "mfac":
        return Mfac(12, lambda model: given, 1e-2)
    if kind == "diagonal":
        return Diagonal(12, lambda model: squares(model, source), 1e-2)
    if kind == "blocks":
        return BlockFisher(LAYOUT, lambda model: block_matrices(model, source, 4), 1e-2, 4)
    if kind == "kfac":
        return Kfac(LAYOUT, lambda model: row_spectra(model, source, LAYOUT.matrices), 1e-2)
    return Isotropic(12)


@ESTIMATORS
def test_a_new_estimator_covers_all_weights_in_parts(kind, given):
    estimator = made(kind, given)
    assert estimator.support.dtype == torch.bool  # `equal` alone takes 1.0 for True
    assert torch.equal(estimator.support, torch.ones(12, dtype=torch.bool))
    assert sum(estimator.parts) == 12
    assert estimator.refine(None, torch.arange(12) % 2 == 0, 0) == {}


def test_an_estimator_is_made_of_the_network_that_it_is_given():
    network, asked = torch.nn.Linear(3, 4), []
    makers = {
        "mfac": lambda made: Mfac(12, made, 1e-2),
        "diagonal": lambda made: Diagonal(12, made, 1e-2),
        "blocks": lambda made: BlockFisher(LAYOUT, made, 1e-2, 4),
        "kfac": lambda made: Kfac(LAYOUT, made, 1e-2),
    }
    found = {"mfac": torch.ones(1, 12), "diagonal": torch.ones(12), "blocks": torch.zeros(4, 4, 4), "kfac": []}
    for kind, make in makers.items():
        estimator = make(lambda model, kind=kind: (asked.append(model), found[kind])[1])
        estimator.refine(network, torch.ones(12, dtype=torch.bool), 0)
        assert asked.pop() is network


@ESTIMATORS
def test_a_restored_estimator_goes_on_with_the_same_bits(kind, given):
    first, second = made(kind, given), made(kind, 2 * given)
    first.refine(None, torch.arange(12) != 5, 0)
    second.restore(first.state())
    assert torch.equal(second.support, first.support)
    assert torch.equal(applied(second, EYE), applied(first, EYE))
    assert torch.equal(diagonal(second), diagonal(first))


@ESTIMATORS
def test_products_have_the_precision_of_their_vectors(kind, given):
    estimator, exact = made(kind, given.float()), made(kind, given)
    for one in (estimator, exact):
        one.refine(None, torch.ones(12, dtype=torch.bool), 0)
    assert applied(estimator, EYE.float()).dtype == applied(exact, EYE.float()).dtype == torch.float32
    assert applied(estimator, EYE).dtype == torch.float64
    torch.testing.assert_close(applied(estimator, EYE), applied(exact, EYE), rtol=1e-3, atol=1e-2)
    vectors = torch.randn(2, 3, 12, **DOUBLE)
    matrix = applied(exact, EYE)
    torch.testing.assert_close(applied(exact, vectors), vectors @ matrix, rtol=1e-9, atol=1e-9)


def test_mfac_of_many_weights_sums_over_all_of_them():
    wide = torch.randn(3, 5000, generator=torch.Generator().manual_seed(0), **DOUBLE)  # more than are taken at a time
    half, vector = half_inverse(wide, 0.1), torch.randn(5000, **DOUBLE)
    inverse = vector / 0.1 - half.T @ (half @ vector)
    torch.testing.assert_close(wide.T @ (wide @ inverse) / 3 + 0.1 * inverse, vector, rtol=1e-8, atol=1e-8)


def test_mfac_diagonal_stays_positive_where_rounding_would_make_it_zero():
    rows_of_one = 1e6 * torch.ones(1, 1)
    estimator = Mfac(1, lambda model: rows_of_one, 1e-4)
    estimator.refine(None, torch.ones(1, dtype=torch.bool), 0)
    assert estimator.diagonal(0).tolist() == pytest.approx([1e-6 / 1e-4], rel=1e-6)


@pytest.mark.parametrize("skipped", [1, 3])
def test_statistics_leave_out_the_images_before_the_start(mixed, skipped):
    model, layout, inputs, _ = mixed
    every, later = (Gradients(layout, images, "exact") for images in (inputs, inputs[skipped:]))
    torch.testing.assert_close(squares(model, every, skipped), squares(model, later), rtol=1e-10, atol=1e-14)
    for one, other in zip(*(
        factors(model, source, layout.matrices, start) for source, start in ((every, skipped), (later, 0))
    ), strict=True):  # fmt: skip
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)
    for make in (row_spectra, activation_spectra):
        pairs = zip(make(model, every, layout.matrices, skipped), make(model, later, layout.matrices), strict=True)
        for one, other in pairs:
            torch.testing.assert_close(rebuilt(one), rebuilt(other), rtol=1e-8, atol=1e-12)


def rebuilt(spectrum) -> torch.Tensor:
    """The layer's matrix that a spectrum describes: the signs of its eigenvectors are left open."""
    basis = torch.kron(*spectrum.bases)
    return basis.T @ torch.diag(spectrum.squares.flatten()) @ basis


@pytest.mark.parametrize("name", ["stem", "grouped", "hidden"])
def test_factors_of_layers_with_positions_groups_and_several_calls_are_sums_over_each(mixed, name):
    """Γ sums over images, directions and calls and averages over positions; Ω sums over positions, too."""
    model, _, inputs, _ = mixed
    layout = Layout.of(model, (f"{name}.weight",))
    gradients = Gradients(layout, inputs, "exact")
    ((out, inner),) = factors(model, gradients, layout.matrices)
    ((layer,),) = gradients.batches(model)
    found_out, found_in = torch.zeros_like(out), torch.zeros_like(inner)
    for delta, patch in zip(layer.deltas, layer.patches(), strict=True):
        _, _, count, size, _ = delta.shape  # groups, outputs of each
        for group in range(count):
            own = slice(group * size, (group + 1) * size)
            d, x = delta[:, :, group], patch[:, group]
            found_out[own, own] += torch.einsum("bkop,bkqp->oq", d, d) / d.shape[-1]
            found_in += torch.einsum("bnp,bmp->nm", x, x) / count
    torch.testing.assert_close(out, found_out / 4, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(inner, found_in / 4, rtol=1e-10, atol=1e-14)


@ESTIMATORS
def test_blocks_of_an_estimator_are_those_of_its_matrix(kind, given):
    estimator = made(kind, given)
    estimator.refine(None, torch.ones(12, dtype=torch.bool), 0)
    matrix, start = applied(estimator, EYE), 0
    for part, size in enumerate(estimator.parts):
        own = matrix[start : start + size, start : start + size]
        groups = {12: [[0, 1, 2], [3, 4, 5]], 6: [[0, 1], [4, 5]] if part else [[0, 2], [3, 5]]}[size]
        positions = torch.tensor(groups)  # of one output each; the blocks' first four and last two are two blocks
        expected = own[positions[:, :, None], positions[:, None]]
        torch.testing.assert_close(estimator.blocks(positions, part).to(expected), expected, rtol=1e-9, atol=1e-9)
        start += size
