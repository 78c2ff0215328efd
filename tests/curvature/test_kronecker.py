"""The algebra of D (R^T R ⊗ L L^T) D against dense matrices."""

import pytest
import torch
from dense_kronecker import DOUBLE, EYE, IN, ONES, OUT, dense, fisher, random_model, random_rows

from fishbone.curvature.kronecker import auxiliary_loss, kronecker_start


def test_product_diagonal_and_norm_equal_the_dense_matrix():
    model = random_model()
    matrix = dense(model)
    vectors = torch.randn(2, 6, OUT, IN, **DOUBLE)
    product = model.product(vectors).flatten(2)
    torch.testing.assert_close(product, vectors.flatten(2) @ matrix.T, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.diagonal().flatten(), matrix.diagonal(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.squared_norm(ONES), (matrix**2).sum(), rtol=1e-12, atol=1e-12)


def test_q_is_symmetric_and_positive_definite():
    values = torch.linalg.eigvalsh(dense(random_model()))
    assert values.min() >= -1e-10 * values.max()
    x, y = torch.randn(2, OUT, IN, **DOUBLE)
    model = random_model()
    assert (x * model.product(y)).sum().item() == pytest.approx((y * model.product(x)).sum().item(), rel=1e-12)


def test_a_mask_takes_rows_and_columns_out_of_q():
    model, mask = random_model(), (torch.rand(OUT, IN, generator=torch.Generator().manual_seed(2)) > 0.4).double()
    masked = mask.flatten()[:, None] * dense(model) * mask.flatten()
    vectors = torch.randn(4, OUT, IN, **DOUBLE)
    torch.testing.assert_close(
        model.product(vectors, mask).flatten(1), vectors.flatten(1) @ masked, rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(model.squared_norm(mask), (masked**2).sum(), rtol=1e-12, atol=1e-12)


def test_auxiliary_loss_is_its_average_over_all_directions():
    model, rows, gamma = random_model(), random_rows(), 0.3
    matrix, damped = dense(model), fisher(rows) + gamma * EYE
    loss = auxiliary_loss(model, rows, gamma, ONES)
    expected = 0.5 * torch.trace(matrix @ damped @ matrix) - torch.trace(matrix)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    directions = EYE @ matrix  # v of every unit vector u
    by_hand = 0.5 * (directions @ damped * directions).sum() - directions.diagonal().sum()
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-12)
    assert loss > -0.5 * torch.trace(torch.linalg.inv(damped))


def test_start_is_the_inverse_where_the_fisher_matrix_is_a_kronecker_product():
    generator = torch.Generator().manual_seed(3)
    a, b = (torch.randn(k, k, generator=generator, **DOUBLE) for k in (OUT, IN))
    rows = (a @ EYE.reshape(-1, OUT, IN) @ b)[None]  # one image whose rows have F = (a a^T) ⊗ (b^T b)
    product = dense(kronecker_start(rows, gamma=0.0)) @ fisher(rows)
    torch.testing.assert_close(product, EYE, rtol=0, atol=1e-8)


def test_start_lowers_the_auxiliary_loss_below_every_multiple_of_the_identity():
    rows = random_rows() * torch.linspace(0.1, 3, IN, **DOUBLE)
    for gamma in (1e-3, 1e-1, 10.0):
        loss = auxiliary_loss(kronecker_start(rows, gamma), rows, gamma, ONES).item()
        curvature = torch.trace(fisher(rows)).item()
        best_multiple = -0.5 * (OUT * IN) ** 2 / (curvature + gamma * OUT * IN)
        assert loss < best_multiple
