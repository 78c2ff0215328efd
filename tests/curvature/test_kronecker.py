"""The algebra of Kronecker inverses and their closed forms against dense matrices."""

import pytest
import torch
from dense_kronecker import DOUBLE, EYE, IN, ONES, OUT, dense, fisher, random_model, random_rows

from fishbone.curvature.kronecker import KroneckerInverse, auxiliary_loss
from fishbone.curvature.starts import diagonal_start, factored_start, isotropic_start, spectral_start
from fishbone.curvature.statistics import Spectrum, eigenbasis

GAMMA = 0.3
FORMS = pytest.mark.parametrize(
    ("place", "modes"),
    [("outside", (OUT, IN)), ("inside", (OUT, IN)), ("inside", (OUT, 2, 3)), ("outside", (OUT, 2, 3))],
)


def spectrum_of(rows: torch.Tensor) -> Spectrum:
    flat = rows.flatten(0, 1)
    bases = eigenbasis((flat @ flat.mT).sum(0)), eigenbasis((flat.mT @ flat).sum(0))
    return Spectrum(bases, ((bases[0] @ flat @ bases[1].T) ** 2).sum(0) / len(rows))


def exact_loss(model, rows, gamma=GAMMA) -> torch.Tensor:
    matrix = dense(model)
    return 0.5 * torch.trace(matrix @ (fisher(rows) + gamma * EYE) @ matrix) - torch.trace(matrix)


@FORMS
def test_product_and_diagonal_equal_the_dense_matrix(place, modes):
    model = random_model(0, place, modes)
    matrix = dense(model)
    vectors = torch.randn(2, 6, OUT, IN, **DOUBLE)
    product = model.product(vectors).flatten(2)
    torch.testing.assert_close(product, vectors.flatten(2) @ matrix.T, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.diagonal().flatten(), matrix.diagonal(), rtol=1e-12, atol=1e-12)


@FORMS
def test_blocks_are_those_of_the_dense_matrix(place, modes):
    model = random_model(0, place, modes)
    positions = torch.tensor([[0, 1, 2], [9, 11, 6], [14, 13, 17]])  # each in a row of its own
    expected = dense(model)[positions[:, :, None], positions[:, None]]
    torch.testing.assert_close(model.blocks(positions), expected, rtol=1e-12, atol=1e-12)


@FORMS
def test_q_is_symmetric_and_positive_definite(place, modes):
    model = random_model(0, place, modes)
    values = torch.linalg.eigvalsh(dense(model))
    assert values.min() >= -1e-10 * values.max()
    x, y = torch.randn(2, OUT, IN, **DOUBLE)
    assert (x * model.product(y)).sum().item() == pytest.approx((y * model.product(x)).sum().item(), rel=1e-12)


@FORMS
def test_a_mask_takes_rows_and_columns_out_of_q(place, modes):
    model = random_model(0, place, modes)
    mask = (torch.rand(OUT, IN, generator=torch.Generator().manual_seed(2)) > 0.4).double()
    masked = mask.flatten()[:, None] * dense(model) * mask.flatten()
    vectors = torch.randn(4, OUT, IN, **DOUBLE)
    torch.testing.assert_close(
        model.product(vectors, mask).flatten(1), vectors.flatten(1) @ masked, rtol=1e-12, atol=1e-12
    )


@FORMS
def test_auxiliary_loss_is_its_average_over_all_directions(place, modes):
    model, rows = random_model(0, place, modes), random_rows()
    every = EYE.reshape(-1, OUT, IN) * len(EYE) ** 0.5  # second moment I, as of Gaussian directions
    curved = (model.product(rows) ** 2).sum() / len(rows)
    loss = auxiliary_loss(model, curved, GAMMA, ONES, every)
    assert loss.item() == pytest.approx(exact_loss(model, rows).item(), rel=1e-12)
    assert loss > -0.5 * torch.trace(torch.linalg.inv(fisher(rows) + GAMMA * EYE))


@FORMS
def test_masked_auxiliary_loss_is_that_of_q_without_the_masked_rows_and_columns(place, modes):
    model, rows = random_model(0, place, modes), random_rows()
    mask = (torch.arange(OUT * IN) % 4 != 1).reshape(OUT, IN).double()
    kept = mask.flatten().bool()
    own, curvature = dense(model)[kept][:, kept], (fisher(rows) + GAMMA * EYE)[kept][:, kept]
    exact = 0.5 * torch.trace(own @ curvature @ own) - torch.trace(own)
    curved = (model.product(rows, mask) ** 2).sum() / len(rows)
    every = EYE.reshape(-1, OUT, IN) * len(EYE) ** 0.5
    assert auxiliary_loss(model, curved, GAMMA, mask, every).item() == pytest.approx(exact.item(), rel=1e-12)


def test_random_directions_estimate_the_auxiliary_loss_without_bias():
    model, rows = random_model(), random_rows()
    curved = (model.product(rows) ** 2).sum() / len(rows)
    u = torch.randn(40_000, OUT, IN, generator=torch.Generator().manual_seed(0), **DOUBLE)
    assert auxiliary_loss(model, curved, GAMMA, ONES, u).item() == pytest.approx(
        exact_loss(model, rows).item(), rel=0.05
    )


def kronecker_rows() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    a, b = (torch.randn(k, k, generator=generator, **DOUBLE) for k in (OUT, IN))
    return (a @ EYE.reshape(-1, OUT, IN) @ b)[None]  # one image whose rows have F = (a a^T) ⊗ (b^T b)


def test_closed_forms_are_the_inverse_where_the_fisher_matrix_is_a_kronecker_product():
    rows = kronecker_rows()
    product = dense(factored_start(spectrum_of(rows), gamma=0.0)) @ fisher(rows)
    torch.testing.assert_close(product, EYE, rtol=0, atol=1e-8)
    for gamma in (1e-3, 1e-1, 10.0):  # with the diagonal inside also when damped
        product = dense(spectral_start(spectrum_of(rows), gamma)) @ (fisher(rows) + gamma * EYE)
        torch.testing.assert_close(product, EYE, rtol=0, atol=1e-8)


def test_the_factored_start_is_where_the_auxiliary_loss_has_no_slope():
    """With eigenvalues r_i l_j of Q the loss is Σ ½ (s_ij + gamma) r_i² l_j² - r_i l_j."""
    spectrum = spectrum_of(random_rows() * torch.linspace(0.1, 3, IN, **DOUBLE))
    for gamma in (1e-3, 1e-1, 10.0):
        start = factored_start(spectrum, gamma)
        out, into = ((basis**2).sum(1) for basis in start.bases)
        damped = spectrum.squares + gamma
        torch.testing.assert_close(out * (damped @ into**2), into.sum().expand(OUT), rtol=1e-6, atol=0)
        torch.testing.assert_close(into * (out**2 @ damped), out.sum().expand(IN), rtol=1e-6, atol=0)
        assert out.mean().item() == pytest.approx(into.mean().item())
        assert (start.place, spectral_start(spectrum, gamma).place) == ("outside", "inside")


def test_closed_forms_in_the_eigenbases_lower_the_auxiliary_loss_below_every_multiple_of_the_identity():
    rows = random_rows() * torch.linspace(0.1, 3, IN, **DOUBLE)
    for gamma in (1e-3, 1e-1, 10.0):
        factored = exact_loss(factored_start(spectrum_of(rows), gamma), rows, gamma)
        spectral = exact_loss(spectral_start(spectrum_of(rows), gamma), rows, gamma)
        curvature = torch.trace(fisher(rows)).item()
        best_multiple = -0.5 * (OUT * IN) ** 2 / (curvature + gamma * OUT * IN)
        assert spectral <= factored < best_multiple


def test_simple_starts_are_what_they_say():
    for modes in ((OUT, IN), (OUT, 2, 3)):
        for place in ("inside", "outside"):
            start = isotropic_start(modes, 0.1, place)
            assert start.place == diagonal_start(ONES, modes, 0.1, place).place == place
            vectors = torch.randn(2, OUT, IN, **DOUBLE)
            torch.testing.assert_close(start.product(vectors), 10 * vectors, rtol=1e-6, atol=1e-6)
            squares = torch.rand(OUT, IN, **DOUBLE)
            torch.testing.assert_close(
                diagonal_start(squares, modes, 0.1, place).product(vectors), vectors / (squares + 0.1), rtol=1e-6,
                atol=1e-6,
            )  # fmt: skip


@pytest.mark.parametrize("learns", [True, False])
def test_a_product_taken_in_pieces_is_that_of_the_whole(learns, monkeypatch):
    model, vectors = random_model(0, "inside", (OUT, 2, 3)), torch.randn(2, 6, OUT, IN, **DOUBLE)
    expected = vectors.flatten(2) @ dense(model).T
    for parameter in model.parameters:
        parameter.requires_grad_(learns)
    monkeypatch.setattr("fishbone.curvature.kronecker.PIECE", 2 * IN)  # two outputs, then the third
    product = model.product(vectors)
    torch.testing.assert_close(product.detach().flatten(2), expected, rtol=1e-12, atol=1e-12)
    assert product.requires_grad is learns
    if learns:
        product.sum().backward()
        assert all(torch.count_nonzero(parameter.grad) for parameter in model.parameters)


def test_products_have_the_precision_of_their_vectors():
    model = random_model()
    single = KroneckerInverse(model.log_scale.float(), tuple(basis.float() for basis in model.bases), model.place)
    assert single.product(ONES).dtype == torch.float64
    assert single.product(ONES.float()).dtype == torch.float32
    torch.testing.assert_close(single.product(ONES), model.product(ONES), rtol=1e-5, atol=1e-5)


def test_learning_does_not_change_a_detached_copy():
    model = random_model()
    copy, before = model.detached(), model.product(ONES)
    for parameter in model.parameters:
        parameter.zero_()
    assert torch.equal(copy.product(ONES), before)
    assert copy.place == model.place
