"""What the sparse runtime does step by step, and which steps become one.

Additions and ReLU are fused into the step before them where nothing else reads what lies between.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

CONV, LINEAR, MEAN, ADD = range(4)


@dataclass(frozen=True)
class Operation:
    """One step; its ReLU comes last, after the residual.

    ``shape`` is of ``out``: (channels, height, width), vectors have sides of 1. ``weight`` is (channels, inputs,
    kernel, kernel), ``bias`` (channels,); ``source``, ``out`` and ``residual`` are names of tensors.
    """

    kind: int
    source: str
    out: str
    shape: tuple[int, int, int]
    residual: str | None = None
    relu: bool = False
    weight: np.ndarray | None = field(default=None, repr=False)
    bias: np.ndarray | None = field(default=None, repr=False)
    stride: int = 1
    padding: int = 0

    @property
    def reads(self) -> list[str]:
        """Names of the tensors that go in."""
        return [self.source] + ([self.residual] if self.residual else [])


def fused(operations: Sequence[Operation], output: str) -> list[Operation]:
    """ReLU into whatever comes before it; an addition into the later of the two convolutions that it adds."""
    operations, changed = list(operations), True
    while changed:
        changed = False
        readers = Counter(name for op in operations for name in op.reads) + Counter([output])
        place = {op.out: index for index, op in enumerate(operations)}
        for index, op in enumerate(operations):
            if found := _merged(op, operations, readers, place):
                into, merged = found
                operations = [merged if i == into else o for i, o in enumerate(operations) if i != index]
                changed = True
                break
    return operations


def _merged(
    op: Operation, operations: list[Operation], readers: Counter[str], place: dict[str, int]
) -> tuple[int, Operation] | None:
    """(index of the operation that swallows ``op``, what it becomes)."""
    if op.kind != ADD:
        return None
    for source, other in ((op.source, op.residual), (op.residual, op.source)):
        if source not in place or readers[source] > 1:
            continue
        before = operations[place[source]]
        if other is None and not before.relu:
            return place[source], replace(before, out=op.out, relu=True)
        free = before.kind == CONV and not before.relu and before.residual is None
        if other is not None and free and place.get(other, -1) < place[source]:
            return place[source], replace(before, out=op.out, residual=other, relu=op.relu)
    return None
