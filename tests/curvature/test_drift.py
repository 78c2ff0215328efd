"""Slope and curvature of the divergence from the dense network's outputs, against automatic differentiation."""

import copy

import pytest
import torch
from torch.func import functional_call, grad, hessian

from fishbone.curvature import drift as module
from fishbone.curvature.drift import Drift
from fishbone.curvature.gradients import Gradients
from fishbone.curvature.likelihoods import Bernoulli, Gaussian, Softmax


def softmax_divergence(temperature: float):
    """temperature² x KL between softmaxes at that temperature: its Hessian is H."""

    def divergence(outputs, dense):
        now, then = ((z / temperature).log_softmax(1) for z in (outputs, dense))
        return temperature**2 * (then.exp() * (then - now)).sum(1).mean()

    return divergence


def gaussian_divergence(outputs, dense):
    return (outputs - dense).square().sum(1).mean() / (2 * 0.3)


def bernoulli_divergence(outputs, dense):
    kl = torch.distributions.kl_divergence
    return kl(*(torch.distributions.Bernoulli(logits=z) for z in (dense, outputs))).sum(1).mean()


CASES = pytest.mark.parametrize(
    ("likelihood", "divergence"),
    [
        (Softmax(), softmax_divergence(1)),
        (Softmax(4.0), softmax_divergence(4)),
        (Gaussian(0.3), gaussian_divergence),
        (Bernoulli(), bernoulli_divergence),
    ],
)


@CASES
def test_gradient_is_that_of_the_mean_divergence(mixed, likelihood, divergence):
    model, layout, inputs, _ = mixed
    pruned = copy.deepcopy(model)
    weights = layout.read(model) * (torch.rand(layout.size, dtype=torch.float64) > 0.3)
    layout.write(pruned, weights)
    dense = model(inputs).detach()
    expected = grad(lambda w: divergence(functional_call(model, layout.tensors(w), (inputs,)), dense))(weights)
    made = Drift(Gradients(layout, inputs, "exact", likelihood), model).gradient(pruned)
    assert (made - expected).abs().max() <= 1e-10 * expected.abs().max()


@CASES
def test_at_the_dense_weights_there_is_no_slope_and_the_curvature_is_that_of_the_divergence(
    mixed, likelihood, divergence
):
    model, layout, inputs, _ = mixed
    drift = Drift(Gradients(layout, inputs, "exact", likelihood), model)
    assert drift.gradient(model).abs().max() <= 1e-12
    direction = torch.randn(layout.size, dtype=torch.float64)
    weights, dense = layout.read(model), model(inputs).detach()

    def along(step):
        return divergence(functional_call(model, layout.tensors(weights + step * direction), (inputs,)), dense)

    expected = hessian(along)(torch.zeros((), dtype=torch.float64)).item()
    assert drift.curvature(model, direction) == pytest.approx(expected, rel=1e-6)


@CASES
def test_divergence_is_the_mean_over_images(mixed, likelihood, divergence):
    model, layout, inputs, _ = mixed
    drift = Drift(Gradients(layout, inputs, "exact", likelihood), model)
    assert drift.divergence(model) == pytest.approx(0, abs=1e-12)
    moved = copy.deepcopy(model)
    layout.write(moved, 1.3 * layout.read(model))
    with torch.no_grad():
        expected = divergence(moved(inputs), model(inputs)).item()
    assert drift.divergence(moved) == pytest.approx(expected, rel=1e-10)


def test_divergence_slope_and_curvature_are_the_same_however_images_are_batched(mixed, monkeypatch):
    model, layout, inputs, _ = mixed
    moved, direction = copy.deepcopy(model), torch.randn(layout.size, dtype=torch.float64)
    layout.write(moved, 1.3 * layout.read(model))
    found = []
    for size in (100, 3):  # all four at once; three and one
        monkeypatch.setattr(module, "BATCH", size)
        drift = Drift(Gradients(layout, inputs, "exact"), model)
        found.append((drift.divergence(moved), drift.gradient(moved), drift.curvature(moved, direction)))
    whole, cut = found
    assert cut[0] == pytest.approx(whole[0], rel=1e-12)
    torch.testing.assert_close(cut[1], whole[1], rtol=1e-10, atol=1e-14)
    assert cut[2] == pytest.approx(whole[2], rel=1e-6)


def test_curvature_grows_with_the_square_of_the_direction_and_is_zero_along_none(mixed):
    model, layout, inputs, _ = mixed
    drift = Drift(Gradients(layout, inputs, "exact"), model)
    direction = torch.randn(layout.size, dtype=torch.float64)
    assert drift.curvature(model, 10 * direction) == pytest.approx(100 * drift.curvature(model, direction), rel=1e-9)
    assert drift.curvature(model, 0 * direction) == 0


def test_only_the_slope_costs_backward_passes_one_an_image(mixed):
    model, layout, inputs, _ = mixed
    gradients = Gradients(layout, inputs, "exact")
    drift = Drift(gradients, model)
    drift.divergence(model)
    drift.curvature(model, torch.ones(layout.size, dtype=torch.float64))
    assert gradients.backward == 0
    drift.gradient(model)
    drift.gradient(model)
    assert gradients.backward == 2 * len(inputs)
