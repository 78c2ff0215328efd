"""ONNX → the flat file that ``runtime.c`` reads (its format is described there).

Convolutions (square kernels, one group, no dilation), linear layers, ReLU, additions and the mean over all pixels, so
ResNets as they are exported here. Tensors of one shape share memory where their lives do not overlap.
"""

import struct
from pathlib import Path

import numpy as np
from onnx import ModelProto

from fishbone.sparse.graph import Graph, read_graph
from fishbone.sparse.operations import CONV, Operation, fused

RUNTIME = Path(__file__).with_name("runtime.c")
MAGIC, VERSION = b"FBSPARSE", 1

Shape = tuple[int, int, int]
Layout = tuple[Shape, int]  # shape, padding


def compile_plan(proto: ModelProto) -> bytes:
    """The flat file's content for an ONNX model.

    Raises:
        UnsupportedGraphError: the sparse runtime cannot run it.
    """
    graph = read_graph(proto)
    operations = fused(graph.operations, graph.output)
    slots, slot_shapes = _slots(operations, graph)
    head = [VERSION, len(slot_shapes), len(operations), slots[graph.source.place], slots[graph.output]]
    return b"".join(
        [
            MAGIC,
            struct.pack("<5i", *head),
            *(struct.pack("<3i", *shape) for shape in slot_shapes),
            *(_packed(op, slots) for op in operations),
        ]
    )


def _packed(op: Operation, slots: dict[str, int]) -> bytes:
    nonzero = np.flatnonzero(op.weight) if op.weight is not None else np.empty(0, int)
    kernel = op.weight.shape[-1] if op.weight is not None else 1
    head = struct.pack(
        "<9i", op.kind, slots[op.source], slots[op.residual] if op.residual else -1, slots[op.out], op.relu, kernel,
        op.stride, op.padding, len(nonzero),
    )  # fmt: skip
    if op.weight is None or op.bias is None:
        return head
    per_channel = op.weight[0].size
    rows = np.searchsorted(nonzero, np.arange(len(op.weight) + 1) * per_channel).astype("<i4")
    values = op.weight.reshape(-1)[nonzero].astype("<f4")
    arrays = rows, (nonzero % per_channel).astype("<i4"), values, op.bias.astype("<f4")
    return head + b"".join(array.tobytes() for array in arrays)


def _slots(operations: list[Operation], graph: Graph) -> tuple[dict[str, int], list[tuple[int, int, int]]]:
    """(tensor → slot, shape of each slot): a slot is taken again once nobody reads what it held."""
    first = graph.source.place
    shapes = {first: graph.source.shape} | {op.out: op.shape for op in operations}
    last_read = {name: index for index, op in enumerate(operations) for name in op.reads}
    slots, shape_of = {first: 0}, [shapes[first]]
    free: dict[Layout, list[int]] = {}
    for index, op in enumerate(operations):
        spare = free.get(_layout(op.out, shapes, operations), [])
        if spare:
            slots[op.out] = spare.pop()
        else:
            slots[op.out] = len(shape_of)
            shape_of.append(shapes[op.out])
        for name in set(op.reads):
            if last_read[name] == index and name not in (first, graph.output):
                free.setdefault(_layout(name, shapes, operations), []).append(slots[name])
    return slots, shape_of


def _layout(name: str, shapes: dict[str, Shape], operations: list[Operation]) -> Layout:
    """What two tensors must have in common to lie in one place: shape, and padding for their readers."""
    return shapes[name], max((op.padding for op in operations if op.source == name and op.kind == CONV), default=0)
