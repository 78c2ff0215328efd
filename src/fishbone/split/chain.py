"""A network cut into a chain of stages over devices: activations go forward, gradients come back, as messages.

x → stage 1 → z_1 → stage 2 → … → output, and dL/dz back along the same links. Each device holds only its stage's
weights and optimiser. Element-wise optimisers (SGD, Adam) make one optimiser a stage the same as one for
all, so training is that of the whole network bit for bit on one host.
"""

import copy
from collections.abc import Sequence
from itertools import accumulate, pairwise

from torch import Tensor, nn

from fishbone.split.boundary import Stage
from fishbone.split.wire import Route, Wire


def cut(network: nn.Sequential, sizes: Sequence[int]) -> list[nn.Sequential]:
    """Copies of ``sizes[0]``, ``sizes[1]``, … consecutive layers; names, hence weights' names, stay as they were.

    Raises:
        ValueError: a size is not positive, or they do not add up to the number of layers.
    """
    layers = list(network.named_children())
    if min(sizes) < 1 or sum(sizes) != len(layers):
        raise ValueError(f"sizes {list(sizes)} do not cut {len(layers)} layers")
    parts = []
    for start, end in pairwise(accumulate(sizes, initial=0)):
        part = nn.Sequential()
        for name, layer in layers[start:end]:
            part.add_module(name, copy.deepcopy(layer))
        parts.append(part.train(network.training))
    return parts


def routes(devices: Sequence[str]) -> set[Route]:
    """What a chain sends: activations to the next device, gradients to the one before."""
    forth = {Route("activation", here, there) for here, there in pairwise(devices)}
    return forth | {Route("gradient", there, here) for here, there in pairwise(devices)}


class Chain:
    """Stages on devices, in order.

    Args:
        devices: names, one a stage; the first is the data's owner.
        stages: in the order of the forward pass.
        wire: must allow `routes` of the devices.
    """

    def __init__(self, devices: Sequence[str], stages: Sequence[Stage], wire: Wire):
        self.devices = tuple(devices)
        self.stages = tuple(stages)
        self.wire = wire

    def forward(self, inputs: Tensor, tag: str = "", input_gradient: bool = True) -> Tensor:
        """Output (B, …) on the last device; arguments as in `Stage.forward`, ``inputs`` on the first device."""
        value = self.stages[0].forward(inputs, tag, input_gradient)
        for (here, there), stage in zip(pairwise(self.devices), self.stages[1:], strict=True):
            value = stage.forward(self.wire.send("activation", here, there, value, tag), tag)
        return value

    def backward(self, gradient: Tensor, tag: str = "", weight_gradients: bool = True) -> Tensor | None:
        """dL/d(inputs) on the first device; arguments as in `Stage.backward`, ``gradient`` on the last device."""
        value = self.stages[-1].backward(gradient, tag, weight_gradients)
        back = list(zip(pairwise(self.devices), self.stages, strict=False))
        for (here, there), stage in reversed(back):
            value = stage.backward(self.wire.send("gradient", there, here, value, tag), tag, weight_gradients)
        return value

    def step(self) -> None:
        """One step of every stage's optimiser."""
        for stage in self.stages:
            stage.step()
