"""Placement: which device of a user computes which consecutive layers of the network.

Rule ``balanced``: among all contiguous cuts, in the given order of devices, that fit every device's memory and
leave at least the first layer with the first device (the data's owner), take the one whose busiest device is done
soonest, i.e. the least max_d (MAC_d / speed_d). This is FSL-GAN's "load in proportion to the computation
capabilities" (arXiv 2207.01750), as nearly as whole layers allow; it also gives the best throughput of a pipeline with
free links. It is not the least time of one sequential step: that would put everything on the fastest device.
All cuts are tried: C(L-1+D-1, D-1) for L layers and D devices.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fishbone.errors import InputError

# float32 weight, its gradient and Adam's two moments.
BYTES_PER_PARAMETER = 16
BYTES_PER_ELEMENT = 4


@dataclass(frozen=True)
class Layer:
    """What a layer costs for one image: ``macs``, multiply-accumulates of the forward pass; ``outputs``, elements."""

    name: str
    macs: int
    parameters: int
    outputs: int


@dataclass(frozen=True)
class Capacity:
    """A device. ``speed``: multiply-accumulates a second; ``memory``: bytes."""

    speed: float
    memory: int


def measure(network: nn.Sequential, shape: Sequence[int]) -> list[Layer]:
    """Cost of each child of ``network`` for one input of ``shape``, without the batch's dimension.

    Examples:
        >>> measure(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), (4,))
        [Layer(name='0', macs=12, parameters=15, outputs=3), Layer(name='1', macs=0, parameters=0, outputs=3)]
    """
    layers = []
    value = torch.zeros(1, *shape)
    training = network.training
    network.eval()
    with torch.no_grad():
        for name, child in network.named_children():
            with FlopCounterMode(display=False) as counter:
                value = child(value)
            parameters = sum(p.numel() for p in child.parameters())
            layers.append(Layer(name, counter.get_total_flops() // 2, parameters, value.numel()))
    network.train(training)
    return layers


def memory(layers: Sequence[Layer], batch: int) -> int:
    """Bytes for training: weights, gradients, Adam's moments and the outputs of one batch."""
    parameters = sum(layer.parameters for layer in layers)
    return BYTES_PER_PARAMETER * parameters + BYTES_PER_ELEMENT * batch * sum(layer.outputs for layer in layers)


def placements(layers: int, devices: int) -> Iterator[tuple[int, ...]]:
    """Numbers of layers of each device, for all contiguous placements with at least one layer on the first device."""
    for points in combinations_with_replacement(range(1, layers + 1), devices - 1):
        yield tuple(end - start for start, end in pairwise((0, *points, layers)))


def balanced(layers: Sequence[Layer], devices: Sequence[Capacity], batch: int) -> tuple[int, ...]:
    """Number of layers of each device (0: unused) by the module's rule; ties go to fewer devices, then earlier ones.

    Args:
        layers: what each layer costs, in the order of the forward pass.
        devices: in the order in which they may be used; the first has the data.
        batch: images that a device holds at once.

    Examples:
        A phone with the images, and a laptop that is three times as fast:

        >>> layers = [Layer(str(i), macs=10, parameters=5, outputs=5) for i in range(4)]
        >>> balanced(layers, [Capacity(1.0, 10_000), Capacity(3.0, 10_000)], batch=8)
        (1, 3)

    Raises:
        InputError: no cut fits the memories.
    """
    options = [
        (_busiest(parts, devices), sum(map(bool, sizes)), [-size for size in sizes], sizes)
        for sizes in placements(len(layers), len(devices))
        if _fits(parts := _parts(layers, sizes), devices, batch)
    ]
    if not options:
        raise InputError(
            f"no contiguous cut of {len(layers)} layers ({memory(layers, batch)} bytes in all) fits the memories",
            field="devices.memory",
            value=[device.memory for device in devices],
            remedy="Give a device more memory, add one, or make the network or the batch smaller.",
        )
    return min(options)[-1]


def _parts(layers: Sequence[Layer], sizes: Sequence[int]) -> list[Sequence[Layer]]:
    ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
    return [layers[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def _fits(parts: Sequence[Sequence[Layer]], devices: Sequence[Capacity], batch: int) -> bool:
    return all(memory(part, batch) <= device.memory for part, device in zip(parts, devices, strict=True))


def _busiest(parts: Sequence[Sequence[Layer]], devices: Sequence[Capacity]) -> float:
    return max(sum(layer.macs for layer in part) / device.speed for part, device in zip(parts, devices, strict=True))
