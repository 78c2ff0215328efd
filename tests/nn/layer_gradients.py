"""The gradients of every layer as the network computes them, against the same layer alone in float64."""

import copy

import torch
from torch import Tensor, nn

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d)


def errors(model: nn.Module, inputs: Tensor, bf16: bool = False) -> dict[str, float]:
    """Relative error of each layer's gradients by its weights and by its input, for one random loss.

    A layer's reference gets what the layer got, from both sides: rounding elsewhere does not count.
    """
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, LAYERS)}
    references = {name: copy.deepcopy(layer).double() for name, layer in layers.items()}
    seen = {name: [] for name in layers}
    handles = [
        layer.register_forward_hook(lambda *call, n=name: seen[n].append(call[1][0])) for name, layer in layers.items()
    ]
    handles += [
        layer.register_full_backward_hook(lambda *call, n=name: seen[n].append(call[1:]))
        for name, layer in layers.items()
    ]
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        outputs = model(inputs.requires_grad_(inputs.is_floating_point()))
    generator = torch.Generator().manual_seed(0)
    outputs.float().backward(torch.randn(outputs.shape, generator=generator))
    for handle in handles:
        handle.remove()
    found = {}
    for name, (received, (sent_back, given)) in seen.items():
        reference, start = references[name], received.detach().double().requires_grad_()
        reference(start).backward(given[0].double())
        found[f"{name} input"] = _relative(sent_back[0], start.grad)
        for (parameter, right), computed in zip(reference.named_parameters(), layers[name].parameters(), strict=True):
            found[f"{name} {parameter}"] = _relative(computed.grad, right.grad)
    return found


def _relative(computed: Tensor, right: Tensor) -> float:
    return ((computed.double() - right).norm() / right.norm().clamp(min=1e-12)).item()
