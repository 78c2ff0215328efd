"""Gradients whose rows are given, and an estimator's product and diagonal over all parts."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fishbone.curvature.layout import Layout


@dataclass
class GivenLayer:
    given: Tensor
    deltas: tuple = ()

    def patches(self) -> tuple:
        return ()

    def rows(self) -> Tensor:
        return self.given.clone()


@dataclass
class GivenGradients:
    """``source``: (images, K, d)."""

    layout: Layout
    source: Tensor
    size: int = 10

    @property
    def inputs(self) -> Tensor:
        return self.source

    def __len__(self) -> int:
        return len(self.source)

    def batches(self, model, start: int = 0, stop: int | None = None, row_bytes: int = 0):
        stop = len(self) if stop is None else stop
        for first in range(start, stop, self.size):
            blocks = self.layout.blocks(self.source[first : min(first + self.size, stop)])
            yield [GivenLayer(block) for block in blocks]


def applied(estimator, vectors: Tensor) -> Tensor:
    """Q v for (…, d)."""
    split = enumerate(vectors.split(estimator.parts, dim=-1))
    return torch.cat([estimator.product(own, part) for part, own in split], dim=-1)


def diagonal(estimator) -> Tensor:
    """diag Q, (d,)."""
    return torch.cat([estimator.diagonal(part) for part in range(len(estimator.parts))])
