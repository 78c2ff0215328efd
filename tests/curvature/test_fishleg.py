"""The FishLeg estimator as a whole: what it keeps, undoes and resumes."""

import pytest
import torch
from given_gradients import GivenGradients, applied, diagonal

from fishbone.curvature.fishleg import FishLeg, modes, start_statistics
from fishbone.curvature.layout import Layout
from fishbone.curvature.learning import Learning
from fishbone.curvature.starts import diagonal_start, factored_start, isotropic_start, spectral_start
from fishbone.curvature.statistics import row_spectra, squares

LAYOUT = Layout(("a.weight", "b.weight"), ((2, 1, 3, 1), (4, 3)))
GAMMA, EVERY = 1e-2, torch.ones(18, dtype=torch.bool)


def rows(seed=0, images=40) -> torch.Tensor:
    mixing = torch.randn(18, 18, generator=torch.Generator().manual_seed(99)) / 4
    return torch.randn(images, 3, 18, generator=torch.Generator().manual_seed(seed)) @ mixing


def estimator(source=None, **changes) -> FishLeg:
    plain = {
        "form": "outer", "start": "rows", "first_steps": 40, "later_steps": 40, "learning_rate": 0.01,
        "directions": 8, "drawn_from": "noise", "batch": 10, "held_out": 10,
        "precondition": True, "weights": "all", "renew": False,
    }  # fmt: skip
    learning = Learning(**plain | changes)
    gradients = GivenGradients(LAYOUT, source if source is not None else rows())
    return FishLeg(
        LAYOUT, gradients, lambda model: start_statistics(model, gradients, learning), GAMMA, learning, seed=0
    )


FORMS = pytest.mark.parametrize("form", ["outer", "inner", "three_way"])


@FORMS
def test_loss_on_held_out_images_never_rises_and_bad_learning_is_undone(form):
    log = estimator(form=form).refine(None, EVERY, 0)
    assert log["auxiliary_loss_end"] < log["auxiliary_loss_start"]
    assert log["accepted_layers"] > 0
    reckless = estimator(form=form, learning_rate=3.0)
    log = reckless.refine(None, EVERY, 0)
    untouched = estimator(form=form, first_steps=0)
    untouched.refine(None, EVERY, 0)
    assert log["accepted_layers"] == 0
    assert log["auxiliary_loss_end"] == log["auxiliary_loss_start"]
    assert torch.equal(diagonal(reckless), diagonal(untouched))


def test_loss_is_minus_one_half_without_curvature():
    zero = GivenGradients(LAYOUT, 0 * rows())
    log = estimator(zero.source, first_steps=0, start="isotropic").refine(None, EVERY, 0)
    assert log["auxiliary_loss_start"] == pytest.approx(-0.5, abs=0.2)  # ||v||² of eight random directions


def test_held_out_images_are_not_learnt_from():
    changed = rows().clone()
    changed[:10] *= 5  # the first ten are held out
    one, other = estimator(first_steps=0), estimator(changed, first_steps=0)
    losses = [e.refine(None, EVERY, 0)["auxiliary_loss_start"] for e in (one, other)]
    assert torch.equal(diagonal(one), diagonal(other))
    assert losses[0] != losses[1]


@pytest.mark.parametrize(("weights", "support"), [("all", 18), ("active", 12)])
def test_refinement_covers_the_weights_it_says(weights, support):
    mask = torch.arange(18) % 3 != 0
    learner = estimator(weights=weights)
    learner.refine(None, EVERY, 0)
    learner.refine(None, mask, 1)
    assert int(learner.support.sum()) == support


@FORMS
def test_a_restored_estimator_learns_on_to_the_same_bits(form):
    mask = torch.arange(18) % 3 != 0
    whole, part, resumed = (estimator(form=form) for _ in range(3))
    whole.refine(None, EVERY, 0)
    part.refine(None, EVERY, 0)
    resumed.restore({name: value.clone() for name, value in part.state().items()})
    logs = [learner.refine(None, mask, 3) for learner in (whole, resumed)]
    assert logs[0] == logs[1]
    assert torch.equal(diagonal(whole), diagonal(resumed))
    vector = torch.randn(18, dtype=torch.float64)
    assert torch.equal(applied(whole, vector), applied(resumed, vector))


def test_later_refinement_goes_on_from_q_and_moments():
    learner = estimator()
    learner.refine(None, EVERY, 0)
    learner.refine(None, EVERY, 5)
    assert {int(value["step"]) for value in learner.optimiser.state.values()} == {80}


def test_learning_from_i_over_gamma_approaches_the_closed_form():
    log = estimator(start="isotropic", first_steps=400, learning_rate=0.03).refine(None, EVERY, 0)
    closed = estimator(first_steps=0).refine(None, EVERY, 0)["auxiliary_loss_start"]
    assert log["auxiliary_loss_end"] < log["auxiliary_loss_start"] - 0.5 * (log["auxiliary_loss_start"] - closed)


def test_renewal_forgets_what_was_learnt():
    learner, fresh = estimator(renew=True, later_steps=0), estimator(first_steps=0)
    learner.refine(None, EVERY, 0)
    learnt = diagonal(learner)
    learner.refine(None, EVERY, 1)
    fresh.refine(None, EVERY, 0)
    assert torch.equal(diagonal(learner), diagonal(fresh))
    assert not torch.equal(learnt, diagonal(fresh))


@FORMS
def test_a_step_takes_its_whole_batch_however_it_is_cut(form):
    made = []
    for size in (10, 3):
        learner = estimator(form=form, first_steps=3, held_out=0)
        learner.gradients.size = size
        statistics = learner.statistics(None)
        learner.statistics = lambda model, same=statistics: same
        learner.refine(None, EVERY, 0)
        made.append(diagonal(learner))
    torch.testing.assert_close(made[0], made[1], rtol=1e-4, atol=1e-4)


def test_three_way_form_splits_convolutions_only():
    learning = estimator(form="three_way").learning
    layout = Layout(("conv", "pair", "point", "linear"), ((4, 3, 2, 2), (4, 3, 1, 2), (4, 3, 1, 1), (5, 6)))
    assert modes(layout, learning) == [(4, 3, 4), (4, 3, 2), (4, 3), (5, 6)]


def test_without_held_out_images_nothing_is_judged():
    assert estimator(held_out=0).refine(None, EVERY, 0) == {}


@pytest.mark.parametrize("form", ["outer", "inner"])
def test_without_learning_q_is_the_closed_form_of_the_images_that_are_not_held_out(form):
    learnt_from = GivenGradients(LAYOUT, rows()[10:])
    place = "outside" if form == "outer" else "inside"
    make = factored_start if form == "outer" else spectral_start
    diagonals = LAYOUT.blocks(squares(None, learnt_from))
    expected = {
        "isotropic": [isotropic_start(shape, GAMMA, place) for shape in LAYOUT.matrices],
        "diagonal": [
            diagonal_start(own, shape, GAMMA, place) for own, shape in zip(diagonals, LAYOUT.matrices, strict=True)
        ],
        "rows": [make(spectrum, GAMMA) for spectrum in row_spectra(None, learnt_from, LAYOUT.matrices)],
    }
    vectors = torch.randn(2, 18, generator=torch.Generator().manual_seed(3))
    for start, layers in expected.items():
        learner = estimator(form=form, start=start, first_steps=0)
        learner.refine(None, EVERY, 0)
        assert [layer.place for layer in learner.layers] == [place, place]
        blocks = zip(layers, LAYOUT.blocks(vectors), strict=True)
        products = LAYOUT.join([layer.product(own) for layer, own in blocks])
        torch.testing.assert_close(applied(learner, vectors), products, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mask", [EVERY, torch.arange(18) % 3 != 0])
def test_the_loss_is_the_mean_over_held_out_images_for_each_weight_it_covers(mask):
    """With Q = I / gamma on weights A: (½ tr F_A / gamma² + ½ |A| / gamma - |A| / gamma) gamma / |A|."""
    learner = estimator(start="isotropic", first_steps=0, weights="active")
    log = learner.refine(None, mask, 0)
    curvature = squares(None, GivenGradients(LAYOUT, rows()[:10]))[mask].sum().item()
    expected = curvature / (2 * GAMMA * int(mask.sum())) - 0.5
    assert expected > 20
    assert log["auxiliary_loss_start"] == pytest.approx(expected, abs=0.3)  # ½ ||u||² of eight random directions
    assert log["auxiliary_loss_end"] == log["auxiliary_loss_start"]
    assert log["accepted_layers"] == 0


def test_blocks_are_those_of_the_matrix():
    learner = estimator(first_steps=0)
    learner.refine(None, EVERY, 0)
    for part, (size, groups) in enumerate(((6, [[0, 2], [3, 5]]), (12, [[1, 2], [9, 11]]))):
        positions = torch.tensor(groups)
        matrix = learner.product(torch.eye(size), part)
        expected = matrix[positions[:, :, None], positions[:, None]]
        torch.testing.assert_close(learner.blocks(positions, part), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precondition", [True, False])
def test_learning_does_not_depend_on_the_unit_of_the_loss(precondition):
    """A loss and damping of a millionth have a millionth of the gradient, and a million times the inverse."""
    found = []
    for unit in (1.0, 1e-6):
        learning = estimator(start="isotropic", precondition=precondition).learning
        gradients = GivenGradients(LAYOUT, unit**0.5 * rows())
        learner = FishLeg(LAYOUT, gradients, lambda model: [None, None], unit * GAMMA, learning, seed=0)
        log = learner.refine(None, EVERY, 0)
        assert log["accepted_layers"] > 0
        found.append(unit * diagonal(learner))
    torch.testing.assert_close(found[1], found[0], rtol=1e-2, atol=0)
    assert not torch.allclose(found[0], torch.full((18,), 1 / GAMMA), rtol=0.05)
