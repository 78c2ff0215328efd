"""Estimators and pruners of trials and in earnest."""

import dataclasses

import pytest
import torch
from torch import nn

from fishbone.curvature.gradients import Gradients
from fishbone.curvature.layout import Layout
from fishbone.pruning.compensation import Solver
from fishbone.pruning.defaults import LEARNING
from fishbone.pruning.estimators import EstimatorFactory
from fishbone.pruning.factory import PrunerFactory
from fishbone.pruning.methods import METHODS, ONCE, VARIANTS
from fishbone.pruning.pruner import Surgery

IMAGES = 12


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).eval()


def estimators(model, name, **changes) -> EstimatorFactory:
    inputs = torch.randn(IMAGES, 4, generator=torch.Generator().manual_seed(1))
    gradients = Gradients(Layout.of(model, ("0.weight",)), inputs, "signs")
    learning = dataclasses.replace(LEARNING, batch=4, held_out=2, **changes)
    return EstimatorFactory((METHODS | VARIANTS)[name], gradients, block=8, learning=learning, seed=0)


def looked_at(factory, model, estimator) -> int:
    """Images whose gradients the estimator's first fit takes."""
    before = factory.gradients.backward
    estimator.refine(model, torch.ones(24, dtype=torch.bool), 0)
    return factory.gradients.backward - before


@pytest.mark.parametrize("name", ["fls", "kfac", "ekfac"])
def test_trials_share_what_they_know_of_the_network_and_earnest_finds_it_again(model, name):
    factory = estimators(model, name)
    spent = [looked_at(factory, model, make(0.1)) for make in (factory.trial, factory.trial, factory.final)]
    assert spent[0] == spent[2] > 0
    assert spent[1] == 0
    assert looked_at(factory, model, factory.trial(0.1)) == spent[0]  # earnest let go of what trials shared


@pytest.mark.parametrize("name", ["obd", "obs", "mfac"])
def test_estimators_as_large_as_what_they_are_made_of_share_nothing(model, name):
    factory = estimators(model, name)
    assert [looked_at(factory, model, make(0.1)) for make in (factory.trial, factory.trial, factory.final)] == [
        IMAGES
    ] * 3


@pytest.mark.parametrize("name", [*METHODS, "obs-anchored"])
def test_a_trial_that_does_not_learn_and_earnest_have_the_same_inverse(model, name):
    factory = estimators(model, name)
    products = []
    for make in (factory.trial, factory.final):
        estimator = make(0.1)
        estimator.refine(model, torch.ones(24, dtype=torch.bool), 0)
        products.append(estimator.product(torch.eye(24), 0))
    assert torch.equal(*products)


def test_fishleg_learns_in_trials_only_from_a_start_that_is_no_closed_form(model):
    for start, steps in (("activations", 0), ("rows", 0), ("isotropic", 7), ("diagonal", 7)):
        factory = estimators(model, "fls", first_steps=7, start=start)
        assert factory.trial(0.1).learning.first_steps == steps
        assert factory.final(0.1).learning.first_steps == 7


def test_images_are_held_out_only_where_something_is_learnt(model):
    assert estimators(model, "fls").final(0.1).learning.held_out == 0
    assert estimators(model, "fls", first_steps=3).final(0.1).learning.held_out == 2
    assert estimators(model, "fls", later_steps=3).final(0.1).learning.held_out == 0  # it never comes to them
    assert estimators(model, "fls-assimilated", later_steps=3).final(0.1).learning.held_out == 2


@pytest.mark.parametrize(
    ("name", "trial", "final"),
    [
        ("fls", ONCE, ONCE),
        ("fls-assimilated", ONCE, 1),
        ("fls-renewed", 1, 1),
        ("obs", 1, 1),
        ("magnitude", ONCE, ONCE),
    ],
)
def test_only_learning_on_is_left_out_of_trials(model, name, trial, final):
    made, method = estimators(model, name), (METHODS | VARIANTS)[name]
    surgery = Surgery(method.ranking, method.compensation, method.refine_every, Solver(10, 1e-3))
    factory = PrunerFactory(made.gradients.layout, made, surgery, None)
    pruners = factory.trial(model, 0.1), factory.final(model, 0.1)
    assert [pruner.surgery.refine_every for pruner in pruners] == [trial, final]
    assert all(dataclasses.replace(pruner.surgery, refine_every=final) == surgery for pruner in pruners)
