"""Which weights are removed together: alone, in blocks, N of M, or whole output channels."""

import re
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fishbone.curvature.layout import Layout
from fishbone.errors import ArgumentError


@dataclass(frozen=True)
class Pattern:
    """Which weights go together.

    Attributes:
        kind: ``unstructured``; ``block``: ``size`` consecutive weights of an output go together; ``n_of_m``: of every
            ``size`` inputs to an output (at one kernel position) at least ``kept`` stay; ``channels``: all weights of
            an output.
        size: weights in a block, or M.
        kept: N, the inputs of a group that stay.
    """

    kind: Literal["unstructured", "block", "n_of_m", "channels"]
    size: int = 1
    kept: int = 0


UNSTRUCTURED = Pattern("unstructured")


def parse_pattern(text: str) -> Pattern:
    """Read a pattern's name: ``unstructured``, ``channels``, ``block-4`` or ``2:4``.

    Raises:
        ArgumentError: it is none of these.
    """
    if text == "unstructured":
        return UNSTRUCTURED
    if text == "channels":
        return Pattern("channels")
    if found := re.fullmatch(r"block-([1-9]\d*)", text):
        return Pattern("block", int(found[1]))
    if (found := re.fullmatch(r"([1-9]\d*):([1-9]\d*)", text)) and int(found[1]) < int(found[2]):
        return Pattern("n_of_m", int(found[2]), int(found[1]))
    raise ArgumentError(f"unknown pattern {text!r}: give unstructured, channels, block-SIZE or N:M with N < M")


def check(layout: Layout, pattern: Pattern, sparsity: float) -> None:
    """Let pass a pattern that can have this sparsity in these layers.

    Raises:
        ArgumentError: it cannot; says why.
    """
    least, most = 1 / pattern.size, 1 - pattern.kept / pattern.size
    if pattern.kind == "n_of_m" and not least - 1e-9 <= sparsity <= most + 1e-9:
        text = f"{pattern.kept}:{pattern.size}"
        raise ArgumentError(f"{text} goes from sparsity {least:g} to {most:g}, not to {sparsity}")
    groups(layout, pattern)


def groups(layout: Layout, pattern: Pattern) -> Tensor:
    """Return the group of each weight, (d,) int64, numbered from 0 in the order of the layout.

    Raises:
        ArgumentError: N of M does not divide a layer's inputs; the layer is named.
    """
    if pattern.kind == "unstructured":
        return torch.arange(layout.size)
    parts, first = [], 0
    for name, shape, (outputs, inputs) in zip(layout.names, layout.shapes, layout.matrices, strict=True):
        if pattern.kind == "n_of_m":
            if shape[1] % pattern.size:
                raise ArgumentError(f"{name} has {shape[1]} inputs, which {pattern.size} does not divide")
            positions = inputs // shape[1]
            group = torch.arange(outputs)[:, None, None] * (shape[1] // pattern.size)
            group = group + torch.arange(shape[1])[:, None] // pattern.size
            own = (group * positions + torch.arange(positions)).flatten()
        else:
            size = inputs if pattern.kind == "channels" else pattern.size
            each = -(-inputs // size)
            own = (torch.arange(outputs)[:, None] * each + torch.arange(inputs) // size).flatten()
        parts.append(own + first)
        first += int(own.max()) + 1
    return torch.cat(parts)
