"""Slope and curvature of the divergence from the dense network's outputs, against automatic differentiation."""

import copy

import pytest
import torch
from torch.func import functional_call, grad, hessian

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
