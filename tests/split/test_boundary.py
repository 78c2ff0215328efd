import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fishbone.nn.dcgan import Discriminator
from fishbone.split.boundary import Stage
from fishbone.split.chain import cut


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


def test_first_layer_that_works_in_place_changes_neither_bits_nor_what_came():
    received, gradient = torch.randn(4, 3), torch.randn(4, 2)
    kept, stages = received.clone(), []
    for in_place in (True, False):
        stages.append(Stage(nn.Sequential(nn.ReLU(inplace=in_place), linear())))
        stages[-1].forward(received)
    first, second = (stage.backward(gradient) for stage in stages)
    assert torch.equal(first, second)
    assert torch.equal(received, kept)


def forward(stages, value, tag=""):
    for stage in stages:
        value = stage.forward(value, tag)
    return value


def backward(stages, gradient, tag=""):
    for stage in reversed(stages):
        gradient = stage.backward(gradient, tag)
    return gradient


@pytest.mark.parametrize("micro_batches", [1, 2, 4, 8])
def test_gradients_of_micro_batches_add_up(micro_batches):
    images = torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(2))
    torch.manual_seed(0)
    network = Discriminator([1, 28, 28], 4, 0, seed=5)
    stages = [Stage(part) for part in cut(network, (1, 2, 1))]
    F.softplus(network(images)).mean().backward()
    for index, part in enumerate(images.chunk(micro_batches)):
        logits = forward(stages, part, f"{index}").requires_grad_()
        (F.softplus(logits).sum() / len(images)).backward()
        backward(stages, logits.grad, f"{index}")
    gradients = [p.grad for stage in stages for p in stage.module.parameters()]
    for whole, mine in zip(network.parameters(), gradients, strict=True):
        assert (whole.grad - mine).abs().max() <= 2e-6 * whole.grad.abs().max() + 1e-9


def tiny():
    torch.manual_seed(3)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3), nn.Tanh())
    return network.double()


def test_gradients_across_boundaries_equal_central_differences_in_float64():
    stages = [Stage(part) for part in cut(tiny(), (1, 2, 2))]
    inputs = torch.randn(2, 1, 4, 4, dtype=torch.double)
    received = backward(stages, 2 * forward(stages, inputs))
    parameters = [p for stage in stages for p in stage.module.parameters()]

    def loss():
        with torch.no_grad():
            return stages[2].module(stages[1].module(stages[0].module(inputs))).square().sum().item()

    for tensor, gradient in [(inputs, received), *((p.data, p.grad) for p in parameters)]:
        flat = tensor.view(-1)
        for index in range(len(flat)):
            middle = flat[index].item()
            values = []
            for shift in (1e-6, -1e-6):
                flat[index] = middle + shift
                values.append(loss())
            flat[index] = middle
            assert gradient.view(-1)[index].item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6, abs=1e-8)
