"""The FishLeg estimator as a whole: what it keeps, undoes and resumes."""

import pytest
import torch

from fishbone.curvature.fishleg import FishLeg
from fishbone.curvature.layout import Layout
from fishbone.curvature.learning import Learning

LAYOUT = Layout(("a.weight", "b.weight"), ((3, 2, 1, 1), (4, 3)))
GAMMA, EVERY = 1e-2, torch.ones(18, dtype=torch.bool)


def rows(seed=0, images=40) -> torch.Tensor:
    mixing = torch.randn(18, 18, generator=torch.Generator().manual_seed(99)) / 4
    return torch.randn(images, 3, 18, generator=torch.Generator().manual_seed(seed)) @ mixing


def estimator(source=None, **changes) -> FishLeg:
    plain = {
        "first_steps": 40, "later_steps": 40, "learning_rate": 0.01, "directions": 8, "batch": 10, "held_out": 10,
        "precondition": True, "weights": "all",
    }  # fmt: skip
    source = source if source is not None else rows()
    return FishLeg(LAYOUT, lambda model: source, GAMMA, Learning(**plain | changes), seed=0)


def test_loss_on_held_out_images_never_rises_and_bad_learning_is_undone():
    log = estimator().refine(None, EVERY, 0)
    assert log["auxiliary_loss_end"] < log["auxiliary_loss_start"]
    assert log["accepted_layers"] > 0
    reckless = estimator(learning_rate=3.0)
    log = reckless.refine(None, EVERY, 0)
    untouched = estimator(first_steps=0)
    untouched.refine(None, EVERY, 0)
    assert log["accepted_layers"] == 0
    assert log["auxiliary_loss_end"] == log["auxiliary_loss_start"]
    assert torch.equal(reckless.diagonal(), untouched.diagonal())


def test_loss_is_minus_one_half_without_curvature():
    log = estimator(0 * rows(), first_steps=0).refine(None, EVERY, 0)
    assert log["auxiliary_loss_start"] == pytest.approx(-0.5, rel=1e-5)


def test_held_out_images_are_not_learnt_from():
    changed = rows().clone()
    changed[:10] *= 5  # the first ten are held out
    one, other = estimator(first_steps=0), estimator(changed, first_steps=0)
    losses = [e.refine(None, EVERY, 0)["auxiliary_loss_start"] for e in (one, other)]
    assert torch.equal(one.diagonal(), other.diagonal())
    assert losses[0] != losses[1]


@pytest.mark.parametrize(("weights", "support"), [("all", 18), ("active", 12)])
def test_refinement_covers_the_weights_it_says(weights, support):
    mask = torch.arange(18) % 3 != 0
    learner = estimator(weights=weights)
    learner.refine(None, EVERY, 0)
    learner.refine(None, mask, 1)
    assert int(learner.support.sum()) == support


def test_a_restored_estimator_learns_on_to_the_same_bits():
    mask = torch.arange(18) % 3 != 0
    whole, part, resumed = estimator(), estimator(), estimator()
    whole.refine(None, EVERY, 0)
    part.refine(None, EVERY, 0)
    resumed.restore({name: value.clone() for name, value in part.state().items()})
    logs = [learner.refine(None, mask, 3) for learner in (whole, resumed)]
    assert logs[0] == logs[1]
    assert torch.equal(whole.diagonal(), resumed.diagonal())
    vector = torch.randn(18, dtype=torch.float64)
    assert torch.equal(whole.product(vector), resumed.product(vector))


def test_later_refinement_goes_on_from_q_and_moments():
    learner = estimator()
    learner.refine(None, EVERY, 0)
    learner.refine(None, EVERY, 5)
    assert {int(value["step"]) for value in learner.optimiser.state.values()} == {80}
