"""The joint Optimal Brain Surgeon update on quadratics."""

import pytest
import torch

from fishbone.pruning.compensation import Solver, compensate, independent

D = 12


class Dense:
    """Q made of dense blocks."""

    def __init__(self, blocks):
        self.blocks, self.parts = blocks, [len(block) for block in blocks]

    def product(self, vectors, part):
        return vectors @ self.blocks[part]

    def diagonal(self, part):
        return self.blocks[part].diagonal()


EXACT = Solver(iterations=200, tolerance=1e-13)


@pytest.fixture
def problem():
    """(F, θ0) with F dense and ill-conditioned; the loss is ½ (θ - θ0)^T F (θ - θ0)."""
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(D, D, generator=generator, dtype=torch.float64) * torch.logspace(0, -1, D, dtype=torch.float64)
    matrix = factor @ factor.T + 1e-3 * torch.eye(D, dtype=torch.float64)
    return matrix, torch.randn(D, generator=generator, dtype=torch.float64)


def remove(inverse, weights, removed):
    return compensate(Dense([inverse]), weights, removed, EXACT)


def test_one_weight_costs_what_the_saliency_says(problem):
    matrix, weights = problem
    inverse = torch.linalg.inv(matrix)
    for q in range(D):
        result = remove(inverse, weights, torch.arange(D) == q)
        change = result.weights - weights
        expected = weights[q] ** 2 / (2 * inverse[q, q])
        assert (0.5 * change @ matrix @ change).item() == pytest.approx(expected.item(), rel=1e-9)
        assert result.loss == pytest.approx(expected.item(), rel=1e-9)


def test_joint_update_is_the_constrained_minimum(problem):
    matrix, weights = problem
    inverse, removed = torch.linalg.inv(matrix), torch.arange(D) % 3 == 0
    result = remove(inverse, weights, removed)
    kept = ~removed
    least_squares = weights[kept] + torch.linalg.solve(
        matrix[kept][:, kept], matrix[kept][:, removed] @ weights[removed]
    )
    assert torch.count_nonzero(result.weights[removed]) == 0
    torch.testing.assert_close(result.weights[kept], least_squares, rtol=1e-8, atol=1e-8)
    change = result.weights - weights
    assert (0.5 * change @ matrix @ change).item() == pytest.approx(result.loss, rel=1e-8)
    dense = 0.5 * weights[removed] @ torch.linalg.solve(inverse[removed][:, removed], weights[removed])
    assert result.loss == pytest.approx(dense.item(), rel=1e-8)


def test_joint_update_is_never_worse_than_the_sum_of_single_ones(problem):
    matrix, weights = problem
    inverse, removed = torch.linalg.inv(matrix), torch.arange(D) % 2 == 0
    summed = weights - inverse[:, removed] @ (weights / inverse.diagonal())[removed]
    change = torch.where(removed, 0, summed) - weights
    assert remove(inverse, weights, removed).loss < 0.5 * change @ matrix @ change


def test_removing_one_after_the_other_with_down_dates_is_removing_jointly(problem):
    matrix, weights = problem
    chosen, losses = [1, 4, 7, 8], []
    inverse, theta = torch.linalg.inv(matrix), weights.clone()
    for q in chosen:
        losses.append((theta[q] ** 2 / (2 * inverse[q, q])).item())
        theta = theta - inverse[:, q] * theta[q] / inverse[q, q]
        inverse = inverse - torch.outer(inverse[:, q], inverse[q]) / inverse[q, q]
    removed = torch.zeros(D, dtype=torch.bool)
    removed[chosen] = True
    result = remove(torch.linalg.inv(matrix), weights, removed)
    torch.testing.assert_close(result.weights, torch.where(removed, 0, theta), rtol=1e-8, atol=1e-8)
    assert result.loss == pytest.approx(sum(losses), rel=1e-8)


def test_weights_removed_before_stay_zero_and_take_part(problem):
    matrix, weights = problem
    inverse, first, both = torch.linalg.inv(matrix), torch.arange(D) < 3, torch.arange(D) < 6
    halfway = remove(inverse, weights, first).weights
    torch.testing.assert_close(remove(inverse, halfway, both).weights, remove(inverse, weights, both).weights)
    alone = torch.linalg.inv(matrix[3:][:, 3:])  # the inverse on what was left, as if it were estimated anew
    again = remove(alone, halfway[3:], torch.arange(D - 3) < 3).weights
    torch.testing.assert_close(remove(inverse, halfway, both).weights[3:], again, rtol=1e-7, atol=1e-8)


def test_diagonal_curvature_moves_no_other_weight(problem):
    _, weights = problem
    diagonal, removed = torch.rand(D, dtype=torch.float64) + 0.1, torch.arange(D) % 2 == 0
    result = compensate(Dense([torch.diag(diagonal)]), weights, removed, EXACT)
    assert torch.equal(result.weights, torch.where(removed, 0, weights))
    assert result.loss == pytest.approx((weights**2 / (2 * diagonal))[removed].sum().item())


def test_nothing_removed_changes_no_bit(problem):
    matrix, weights = problem
    result = remove(torch.linalg.inv(matrix), weights, torch.zeros(D, dtype=torch.bool))
    assert torch.equal(result.weights, weights)
    assert (result.loss, result.residual) == (0, 0)


def test_solver_stops_where_it_is_told(problem):
    matrix, weights = problem
    inverse, removed = torch.linalg.inv(matrix), torch.arange(D) % 2 == 0
    rough = compensate(Dense([inverse]), weights, removed, Solver(2, 1e-13))
    fine = compensate(Dense([inverse]), weights, removed, Solver(200, 1e-2))
    assert rough.residual > 1e-13
    assert fine.residual <= 1e-2


def test_parts_that_are_not_coupled_are_solved_on_their_own(problem):
    matrix, weights = problem
    inverse = torch.linalg.inv(torch.block_diag(matrix[:5, :5], matrix[5:, 5:]))
    removed = torch.arange(D) % 3 == 0
    blocks = [inverse[:5, :5], inverse[5:, 5:]]
    split = compensate(Dense(blocks), weights, removed, EXACT)
    whole = remove(inverse, weights, removed)
    torch.testing.assert_close(split.weights, whole.weights, rtol=1e-9, atol=1e-9)
    assert split.loss == pytest.approx(whole.loss, rel=1e-9)


def test_parts_without_removed_weights_stay_bit_for_bit(problem):
    matrix, weights = problem
    blocks = [torch.linalg.inv(matrix[:5, :5]), torch.full((D - 5, D - 5), torch.nan, dtype=torch.float64)]
    result = compensate(Dense(blocks), weights, torch.arange(D) == 2, EXACT)
    assert torch.equal(result.weights[5:], weights[5:])
    assert result.weights[2] == 0
    assert result.residual < 1e-12


def test_one_by_one_adds_up_every_weights_own_update_and_saliency(problem):
    """Against dense matrices: θ - Σ Q[:, q] θ_q / Q_qq, zero where removed, at a loss of Σ θ_q² / (2 Q_qq)."""
    matrix, weights = problem
    inverse, removed = torch.linalg.inv(matrix), torch.arange(D) % 3 == 0
    result = independent(Dense([inverse]), weights, removed, update=True)
    expected = weights.clone()
    for q in removed.nonzero()[:, 0]:
        expected = expected - inverse[:, q] * weights[q] / inverse[q, q]
    torch.testing.assert_close(result.weights, torch.where(removed, 0, expected), rtol=1e-12, atol=1e-12)
    saliencies = [(weights[q] ** 2 / (2 * inverse[q, q])).item() for q in removed.nonzero()[:, 0]]
    assert result.loss == pytest.approx(sum(saliencies), rel=1e-12)
    assert result.residual == 0


def test_one_by_one_without_update_moves_no_other_weight_and_predicts_the_same_loss(problem):
    matrix, weights = problem
    inverse, removed = Dense([torch.linalg.inv(matrix)]), torch.arange(D) % 3 == 0
    result = independent(inverse, weights, removed, update=False)
    assert torch.equal(result.weights, torch.where(removed, 0, weights))
    assert result.loss == independent(inverse, weights, removed, update=True).loss > 0


def test_one_by_one_of_parts_that_are_not_coupled_is_that_of_the_whole(problem):
    matrix, weights = problem
    inverse, removed = torch.linalg.inv(torch.block_diag(matrix[:5, :5], matrix[5:, 5:])), torch.arange(D) % 3 == 0
    split = independent(Dense([inverse[:5, :5], inverse[5:, 5:]]), weights, removed, update=True)
    whole = independent(Dense([inverse]), weights, removed, update=True)
    torch.testing.assert_close(split.weights, whole.weights, rtol=1e-12, atol=1e-12)
    assert split.loss == pytest.approx(whole.loss, rel=1e-12)


def test_for_one_weight_one_by_one_and_joint_are_the_same(problem):
    matrix, weights = problem
    inverse, removed = Dense([torch.linalg.inv(matrix)]), torch.arange(D) == 4
    one, joint = independent(inverse, weights, removed, update=True), compensate(inverse, weights, removed, EXACT)
    torch.testing.assert_close(one.weights, joint.weights, rtol=1e-9, atol=1e-12)
    assert one.loss == pytest.approx(joint.loss, rel=1e-9)


def test_one_iteration_is_a_step_of_preconditioned_conjugate_gradients_and_leaves_its_residual(problem):
    """In two parts, one of them diagonal and so solved by that step; by hand for the other."""
    matrix, weights = problem
    diagonal, coupled = torch.diag(torch.rand(5, dtype=torch.float64) + 0.1), torch.linalg.inv(matrix[5:, 5:])
    removed = torch.arange(D) % 2 == 0
    result = compensate(Dense([diagonal, coupled]), weights, removed, Solver(1, 1e-13))
    gone, target = removed[5:], torch.where(removed, weights, 0)[5:]
    inner = coupled * gone * gone[:, None]
    direction = target / coupled.diagonal()
    step = (target @ direction) / (direction @ inner @ direction)
    x, left = step * direction, target - step * inner @ direction
    torch.testing.assert_close(result.weights[5:], torch.where(gone, 0, weights[5:] - coupled @ x))
    solved = (weights[:5] ** 2 / (2 * diagonal.diagonal()))[removed[:5]].sum()
    assert result.loss == pytest.approx((solved + 0.5 * target @ x).item(), rel=1e-12)
    assert result.residual == pytest.approx((left.norm() / weights[removed].norm()).item(), rel=1e-12)


def test_a_tolerance_of_one_is_met_before_the_first_iteration(problem):
    matrix, weights = problem
    removed = torch.arange(D) % 2 == 0
    result = compensate(Dense([torch.linalg.inv(matrix)]), weights, removed, Solver(200, 1.0))
    assert torch.equal(result.weights, torch.where(removed, 0, weights))
    assert (result.loss, result.residual) == (0, 1)


def test_a_direction_of_negative_curvature_ends_the_solve():
    rounded = torch.tensor([[1.0, 2.0, 0.5], [2.0, 1.0, 0.5], [0.5, 0.5, 1.0]], dtype=torch.float64)
    weights, removed = torch.tensor([1.0, -1.0, 3.0], dtype=torch.float64), torch.tensor([True, True, False])
    result = compensate(Dense([rounded]), weights, removed, EXACT)
    assert result.weights.tolist() == [0, 0, 3]
    assert (result.loss, result.residual) == (0, 1)


def test_weights_that_are_zero_already_cost_nothing_to_remove(problem):
    matrix, weights = problem
    removed = torch.arange(D) < 4
    weights = torch.where(removed, 0, weights)
    result = compensate(Dense([torch.linalg.inv(matrix)]), weights, removed, EXACT)
    assert torch.equal(result.weights, weights)
    assert (result.loss, result.residual) == (0, 0)


class Twice:
    """Q = 2 I, of any size."""

    def __init__(self, size):
        self.parts = [size]

    def product(self, vectors, part):
        return 2 * vectors

    def diagonal(self, part):
        return torch.full((self.parts[part],), 2.0)


def test_losses_are_summed_over_all_weights_however_many():
    size = (1 << 18) + 3
    weights, removed = torch.ones(size), torch.arange(size) % 2 == 0
    weights[-1] = 100
    expected = (int(removed.sum()) - 1) / 4 + 100**2 / 4
    inverse = Twice(size)
    assert compensate(inverse, weights, removed, EXACT).loss == expected
    assert independent(inverse, weights, removed, update=True).loss == expected
