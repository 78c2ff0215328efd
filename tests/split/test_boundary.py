import pytest
import torch
from torch import nn

from fishbone.split.boundary import Stage


def linear(seed=0, inputs=3, outputs=2):
    torch.manual_seed(seed)
    return nn.Linear(inputs, outputs)


def test_outstanding_passes_are_kept_apart():
    first, second = torch.randn(4, 3), torch.randn(5, 3)
    together, apart = Stage(linear()), Stage(linear())
    together.forward(first, "a")
    together.forward(second, "b")
    gradients = {"b": torch.randn(5, 2), "a": torch.randn(4, 2)}
    returned = {tag: together.backward(gradient, tag) for tag, gradient in gradients.items()}
    for tag, inputs in (("b", second), ("a", first)):
        apart.forward(inputs)
        assert torch.equal(apart.backward(gradients[tag]), returned[tag])
    assert torch.equal(together.module.weight.grad, apart.module.weight.grad)


def test_without_weight_gradients_the_input_gradient_is_the_same_and_parameters_are_untouched():
    inputs, gradient = torch.randn(4, 3), torch.randn(4, 2)
    full, light = Stage(linear()), Stage(linear())
    full.forward(inputs)
    light.forward(inputs)
    assert torch.equal(full.backward(gradient), light.backward(gradient, weight_gradients=False))
    assert full.module.weight.grad is not None
    assert light.module.weight.grad is None


def test_without_input_gradient_weight_gradients_are_the_same():
    inputs, gradient = torch.randn(4, 3), torch.randn(4, 2)
    full, light = Stage(linear()), Stage(linear())
    full.forward(inputs)
    light.forward(inputs, input_gradient=False)
    full.backward(gradient)
    assert light.backward(gradient) is None
    assert torch.equal(full.module.weight.grad, light.module.weight.grad)


def test_first_stage_without_parameters_needs_no_gradient():
    stage = Stage(nn.Flatten())
    stage.forward(torch.randn(2, 3, 1), input_gradient=False)
    assert stage.backward(torch.randn(2, 3)) is None
    stage.step()


def test_output_carries_no_graph():
    assert not Stage(linear()).forward(torch.randn(1, 3)).requires_grad


def test_misuse_is_refused():
    stage = Stage(linear())
    stage.forward(torch.randn(4, 3), "a")
    with pytest.raises(RuntimeError, match="still waits"):
        stage.forward(torch.randn(4, 3), "a")
    with pytest.raises(RuntimeError, match="no forward pass 'b'"):
        stage.backward(torch.randn(4, 2), "b")
    with pytest.raises(RuntimeError, match=r"gradient \(4, 3\) for output \(4, 2\)"):
        stage.backward(torch.randn(4, 3), "a")


def test_step_applies_and_clears_gradients():
    module = linear()
    before = module.weight.detach().clone()
    stage = Stage(module, torch.optim.SGD(module.parameters(), lr=0.5))
    stage.forward(torch.ones(1, 3))
    stage.backward(torch.ones(1, 2))
    stage.step()
    assert torch.equal(module.weight, before - 0.5)
    assert module.weight.grad is None
