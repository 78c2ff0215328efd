"""Learning Q: gradients, convergence, masks."""

import itertools

import pytest
import torch
from dense_kronecker import DOUBLE, EYE, IN, ONES, OUT, dense, fisher, random_model, random_rows, rows_of, spread

from fishbone.curvature.kronecker import KroneckerInverse
from fishbone.curvature.learning import Learning, directions, fisher_product, learn, surrogate

GAMMA = 0.2
FORMS = pytest.mark.parametrize(
    ("place", "modes"), [("outside", (OUT, IN)), ("inside", (OUT, IN)), ("inside", (OUT, 2, 3))]
)


def learnable(model: KroneckerInverse, fixed: int | None = None) -> tuple[KroneckerInverse, torch.optim.Adam]:
    """A copy to learn from, ``fixed`` of its factors excepted."""
    factors = [p.detach().clone().requires_grad_(index != fixed) for index, p in enumerate(model.parameters)]
    groups = [{"params": [p]} for p in factors]
    return KroneckerInverse(factors[0], tuple(factors[1:]), model.place), torch.optim.Adam(groups, eps=1e-20)


class Constant:
    """Endless batches of one layer with the same rows."""

    def __init__(self, rows):
        self.constant = rows

    def __iter__(self):
        return itertools.repeat([[self]])

    def rows(self):
        return self.constant


def recipe(**changes) -> Learning:
    plain = {
        "form": "outer", "start": "isotropic", "first_steps": 0, "later_steps": 0, "learning_rate": 0.1,
        "directions": 8, "drawn_from": "noise", "batch": 100, "held_out": 1,
        "precondition": True, "weights": "all", "renew": False,
    }  # fmt: skip
    return Learning(**plain | changes)


@FORMS
def test_surrogate_has_the_gradient_of_the_auxiliary_loss(place, modes):
    model, _ = learnable(random_model(0, place, modes))
    rows = random_rows()
    damped = fisher(rows) + GAMMA * EYE
    u = torch.randn(6, OUT, IN, **DOUBLE)
    v = model.product(u).flatten(1)
    losses = 0.5 * (v @ damped * v).sum(1) - (u.flatten(1) * v).sum(1)
    expected = torch.autograd.grad((losses / (v**2).sum(1).detach()).sum(), model.parameters)
    made = torch.autograd.grad(surrogate(model, rows, GAMMA, ONES, u, precondition=False), model.parameters)
    for gradient, reference in zip(made, expected, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-10, atol=1e-12)


@FORMS
def test_preconditioned_gradient_is_that_of_the_residual_times_q(place, modes):
    model, _ = learnable(random_model(0, place, modes))
    rows, u = random_rows(), torch.randn(6, OUT, IN, **DOUBLE)
    v = model.product(u)
    residual = (v.flatten(1) @ (fisher(rows) + GAMMA * EYE) - u.flatten(1)).detach() @ dense(model)
    scaled = (residual * v.flatten(1)).sum(1) / (v.flatten(1) ** 2).sum(1).detach()
    expected = torch.autograd.grad(scaled.sum(), model.parameters)
    made = torch.autograd.grad(surrogate(model, rows, GAMMA, ONES, u, precondition=True), model.parameters)
    for gradient, reference in zip(made, expected, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-10, atol=1e-12)


def test_scale_of_the_directions_does_not_matter():
    model, _ = learnable(random_model())
    u = torch.randn(6, OUT, IN, **DOUBLE)
    for precondition in (False, True):
        gradients = [
            torch.autograd.grad(surrogate(model, random_rows(), GAMMA, ONES, u * c, precondition), model.parameters)
            for c in (1.0, 1e3)
        ]
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_product_with_the_fisher_matrix_depends_on_the_fisher_matrix():
    rows, v = random_rows(), torch.randn(2, OUT, IN, **DOUBLE)
    assert torch.count_nonzero(fisher_product(0 * rows, v)) == 0
    torch.testing.assert_close(fisher_product(rows, v).flatten(1), v.flatten(1) @ fisher(rows), rtol=1e-12, atol=1e-12)


def relative_error(model: KroneckerInverse, target: torch.Tensor) -> float:
    return ((dense(model) - target).norm() / target.norm()).item()


def learnt_error(matrix: torch.Tensor, steps: int, fixed: int | None = None, **changes) -> float:
    """Relative error of Q after learning the inverse of ``matrix``, undamped, from Q = I."""
    start = KroneckerInverse(0 * ONES, (torch.eye(OUT, **DOUBLE), torch.eye(IN, **DOUBLE)), "outside")
    model, optimiser = learnable(start, fixed)
    generator = torch.Generator().manual_seed(0)
    learn(
        [model], optimiser, iter(Constant(rows_of(matrix))), [ONES], 0.0, recipe(**changes), steps, lambda *_: generator
    )
    target = torch.linalg.inv(matrix)
    return ((dense(model) - target).norm() / target.norm()).item()


@pytest.mark.parametrize("precondition", [True, False])
@pytest.mark.parametrize("drawn_from", ["noise", "gradients"])
def test_learning_finds_a_representable_inverse_in_spite_of_random_directions(precondition, drawn_from):
    matrix = torch.kron(spread(OUT, 5, 1), spread(IN, 5, 2))
    assert learnt_error(matrix, 600, precondition=precondition, drawn_from=drawn_from) < 1e-8


def test_directions_are_white_noise_or_have_the_fisher_matrix_as_covariance():
    rows, mask = random_rows(), ONES.clone()
    mask[0, 0] = 0
    kept = mask.flatten()[:, None] * mask.flatten()
    for drawn_from, covariance in (("noise", EYE), ("gradients", len(rows) * fisher(rows))):
        drawn = directions(recipe(drawn_from=drawn_from, directions=200_000), rows, mask, torch.Generator())
        u = torch.cat(list(drawn)).flatten(1)
        assert len(u) == 200_000
        scale = covariance.diagonal().sqrt()
        error = (u.T @ u / len(u) - covariance * kept) / (scale[:, None] * scale)
        assert error.abs().max() < 0.02


def test_preconditioning_learns_ill_conditioned_directions_sooner():
    matrix = torch.kron(spread(OUT, 10, 1), spread(IN, 10, 2))
    assert learnt_error(matrix, 400, precondition=True) < 0.01 * learnt_error(matrix, 400, precondition=False)


def test_the_diagonal_is_learnt_and_needed():
    order = torch.randperm(OUT * IN, generator=torch.Generator().manual_seed(5))
    scale = torch.diag(torch.logspace(-0.3, 0.3, OUT * IN, **DOUBLE)[order])
    matrix = scale @ torch.kron(spread(OUT, 3, 1), spread(IN, 3, 2)) @ scale
    assert learnt_error(matrix, 1200) < 1e-6
    assert learnt_error(matrix, 300, fixed=0) > 0.2


def test_masked_learning_finds_the_inverse_on_the_active_weights():
    mask = (torch.rand(OUT, IN, generator=torch.Generator().manual_seed(4)) > 0.4).double()
    matrix = torch.kron(spread(OUT, 10, 1), spread(IN, 10, 2))
    active = mask.flatten().bool()
    target = torch.linalg.inv((matrix + GAMMA * EYE)[active][:, active])
    model, optimiser = learnable(random_model())
    batches, generator = iter(Constant(rows_of(matrix))), torch.Generator().manual_seed(0)
    learn([model], optimiser, batches, [ONES], GAMMA, recipe(learning_rate=0.02), 400, lambda *_: generator)

    def error() -> float:
        return ((dense(model)[active][:, active] - target).norm() / target.norm()).item()

    unrefined, frozen = error(), model.log_scale.detach().clone()
    learn([model], optimiser, batches, [mask], GAMMA, recipe(learning_rate=0.02), 300, lambda *_: generator)
    assert error() < 0.5 * unrefined
    assert not torch.equal(model.log_scale[mask == 1], frozen[mask == 1])


def test_u_outside_the_mask_never_reaches_the_factors():
    model, _ = learnable(random_model())
    mask = torch.ones(OUT, IN, **DOUBLE)
    mask[0] = 0
    u = torch.randn(3, OUT, IN, **DOUBLE) * mask
    rows = random_rows()
    noisy = rows.clone()
    noisy[..., 0, :] += 10  # the Fisher matrix of removed weights is nobody's business
    for gradient, same in zip(
        torch.autograd.grad(surrogate(model, rows, GAMMA, mask, u, True), model.parameters),
        torch.autograd.grad(surrogate(model, noisy, GAMMA, mask, u, True), model.parameters),
        strict=True,
    ):
        torch.testing.assert_close(gradient, same, rtol=1e-12, atol=1e-14)
    scales = torch.autograd.grad(surrogate(model, rows, GAMMA, mask, u, True), [model.log_scale])[0]
    assert torch.count_nonzero(scales[0]) == 0
    assert torch.count_nonzero(scales[1:]) > 0


class Watched:
    """An optimiser that steps nowhere and notes rates and gradients."""

    def __init__(self, parameters):
        self.param_groups = [{"params": [parameter]} for parameter in parameters]
        self.rates, self.gradients = [], []

    def step(self):
        self.rates.append([group["lr"] for group in self.param_groups])
        self.gradients.append([group["params"][0].grad.clone() for group in self.param_groups])

    def zero_grad(self):
        for group in self.param_groups:
            group["params"][0].grad = None


def watched(pieces, steps=1, **changes) -> tuple[KroneckerInverse, Watched]:
    """What learning does with the same batch at every step, given in ``pieces``."""
    model, _ = learnable(random_model())
    optimiser = Watched(model.parameters)
    batches = itertools.repeat([[Constant(rows)] for rows in pieces])
    mask = (torch.arange(OUT * IN) % 5 != 0).reshape(OUT, IN).double()
    learn(
        [model], optimiser, batches, [mask], GAMMA, recipe(**changes), steps,
        lambda step, layer: torch.Generator().manual_seed(10 * step + layer),
    )  # fmt: skip
    return model, optimiser


def test_rates_are_relative_to_the_factors_sizes_and_fall_linearly():
    model, optimiser = watched([random_rows()], steps=4, learning_rate=0.2)
    sizes = [1.0, *(basis.detach().abs().mean().item() for basis in model.bases)]
    assert optimiser.rates == [pytest.approx([0.2 * (1 - k / 4) * size for size in sizes]) for k in range(4)]


@pytest.mark.parametrize("precondition", [True, False])
def test_a_batch_in_pieces_has_the_gradient_of_the_whole(precondition):
    rows = random_rows()
    whole, cut = (
        watched(pieces, steps=2, precondition=precondition)[1].gradients for pieces in ([rows], [rows[:2], rows[2:]])
    )
    for one, other in zip(*(itertools.chain(*steps) for steps in (whole, cut)), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-12)
    assert not torch.equal(whole[0][0], whole[1][0])  # other directions in the next step, on the same batch


@pytest.mark.parametrize("drawn_from", ["noise", "gradients"])
def test_directions_are_drawn_as_many_at_a_time_as_memory_allows(drawn_from, monkeypatch):
    mask = ONES.clone()
    mask[1] = 0
    learning = recipe(drawn_from=drawn_from, directions=8)
    for size, counts in ((3, [3, 3, 2]), (4, [4, 4]), (0, [1] * 8), (100, [8])):
        monkeypatch.setattr("fishbone.curvature.learning.ROW_BYTES", size * ONES.numel() * 8 + 7)
        drawn = list(directions(learning, random_rows(), mask, torch.Generator().manual_seed(0)))
        assert [len(u) for u in drawn] == counts
        assert all(torch.equal(u == 0, (mask == 0).expand_as(u)) for u in drawn)
        assert len({u.numpy().tobytes() for piece in drawn for u in piece}) == 8
