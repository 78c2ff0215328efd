"""Gradients whose rows are given."""

from dataclasses import dataclass

from torch import Tensor

from fishbone.curvature.layout import Layout


@dataclass
class GivenLayer:
    given: Tensor
    deltas: tuple = ()
    patches: tuple = ()

    def rows(self) -> Tensor:
        return self.given


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

    def batches(self, model, start: int = 0, stop: int | None = None):
        stop = len(self) if stop is None else stop
        for first in range(start, stop, self.size):
            blocks = self.layout.blocks(self.source[first : min(first + self.size, stop)])
            yield [GivenLayer(block) for block in blocks]
