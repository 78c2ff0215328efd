"""Block empirical Fisher inverse against dense inverses and the papers' recursion."""

import itertools

import pytest
import torch
from given_gradients import GivenGradients, applied, diagonal

from fishbone.curvature import block_fisher as module
from fishbone.curvature.block_fisher import BlockFisher, block_matrices, inverse_blocks
from fishbone.curvature.layout import Layout

GAMMA, BLOCK, IMAGES = 1e-3, 4, 30
LAYOUT = Layout(("a.weight", "b.weight"), ((3, 2, 1, 1), (3, 3)))  # 6 + 9 weights: blocks 4 2 | 4 4 1
ALL = torch.ones(1, BLOCK, dtype=torch.bool)
ENDS = [0, 4, 6, 10, 14, 15]


@pytest.fixture
def rows():
    return torch.randn(IMAGES, 15, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def made(rows) -> BlockFisher:
    gradients = GivenGradients(LAYOUT, rows[:, None])
    return BlockFisher(LAYOUT, lambda model: block_matrices(model, gradients, BLOCK), GAMMA, BLOCK)


def matrix(gradients) -> torch.Tensor:
    """One block's undamped matrix."""
    return (gradients.T @ gradients / len(gradients))[None]


def refined(rows, mask=None) -> BlockFisher:
    estimator = made(rows)
    estimator.refine(None, torch.ones(15, dtype=torch.bool) if mask is None else mask, 0)
    return estimator


def dense(rows) -> torch.Tensor:
    """Block-diagonal inverse, by blocks of the dense damped matrix."""
    damped = rows.T @ rows / len(rows) + GAMMA * torch.eye(15, dtype=rows.dtype)
    inverse = torch.zeros_like(damped)
    for start, end in itertools.pairwise(ENDS):
        inverse[start:end, start:end] = torch.linalg.inv(damped[start:end, start:end])
    return inverse


def test_blocks_do_not_cross_layers_and_equal_dense_inverses(rows):
    estimator = refined(rows)
    product = applied(estimator, torch.eye(15, dtype=rows.dtype))
    torch.testing.assert_close(product, dense(rows), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(diagonal(estimator), dense(rows).diagonal(), rtol=1e-10, atol=0)
    one = torch.randn(15, dtype=rows.dtype)
    torch.testing.assert_close(applied(estimator, one), dense(rows) @ one, rtol=1e-10, atol=1e-12)


def test_several_rows_an_image_add_up_and_are_divided_by_the_images(rows):
    """Σ over an image's K rows is its part of F: the mean is over images, not over rows."""
    gradients = GivenGradients(LAYOUT, rows.unflatten(0, (10, 3)))
    found = block_matrices(None, gradients, BLOCK)
    torch.testing.assert_close(found[0], rows[:, :4].T @ rows[:, :4] / 10, rtol=1e-12, atol=0)


@pytest.mark.parametrize("gamma", [1e-3, 1e-5, 1e-7])
def test_inverse_equals_the_woodbury_recursion(rows, gamma):
    gradients = rows[:, :BLOCK]
    inverse = torch.eye(BLOCK, dtype=rows.dtype) / gamma
    for gradient in gradients:
        column = inverse @ gradient
        inverse = inverse - torch.outer(column, column) / (IMAGES + gradient @ column)
    torch.testing.assert_close(inverse_blocks(matrix(gradients), gamma, ALL)[0], inverse, rtol=1e-6, atol=1e-8)


def test_fewer_images_than_a_block_has_weights_is_no_trouble(rows):
    few = rows[:2]
    inverse = inverse_blocks(matrix(few), GAMMA, torch.ones(1, 15, dtype=torch.bool))[0]
    expected = torch.linalg.inv(few.T @ few / 2 + GAMMA * torch.eye(15, dtype=rows.dtype))
    torch.testing.assert_close(inverse, expected, rtol=1e-9, atol=1e-9)


def test_order_of_images_does_not_matter_and_diagonal_is_bounded(rows):
    expected = diagonal(refined(rows))
    torch.testing.assert_close(diagonal(refined(rows.flip(0))), expected, rtol=1e-10, atol=0)
    assert (expected > 0).all()
    assert (expected <= 1 / GAMMA).all()


def test_removed_weights_are_taken_out_before_inverting(rows):
    mask = torch.arange(15) % 3 != 0
    estimator = refined(rows, mask)
    product = applied(estimator, torch.eye(15, dtype=rows.dtype))
    expected = dense(rows * mask)
    torch.testing.assert_close(product, expected, rtol=1e-10, atol=1e-12)
    alone = torch.linalg.inv((rows.T @ rows / IMAGES)[1:3, 1:3] + GAMMA * torch.eye(2, dtype=rows.dtype))
    torch.testing.assert_close(product[1:3, 1:3], alone, rtol=1e-9, atol=1e-12)
    assert torch.equal(estimator.support, mask)


def test_a_restored_estimator_gives_the_same_bits(rows):
    first, second = refined(rows), made(rows)
    second.restore(first.state())
    vector = torch.randn(15, dtype=rows.dtype)
    assert torch.equal(applied(first, vector), applied(second, vector))


def test_blocks_inverted_a_few_at_a_time_are_the_same(rows, monkeypatch):
    expected = refined(rows, torch.arange(15) % 3 != 0).inverse
    monkeypatch.setattr(module, "CHUNK", 2)  # five blocks: two, two and one
    assert torch.equal(refined(rows, torch.arange(15) % 3 != 0).inverse, expected)
