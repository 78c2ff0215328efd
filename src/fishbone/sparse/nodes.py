"""Readers of single ONNX nodes, one for each operator that the sparse runtime has.

A reader returns the tensor that the node makes, and the step that makes it; None where it only renames.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx
from onnx import NodeProto

from fishbone.errors import FishboneError
from fishbone.sparse.operations import ADD, CONV, LINEAR, MEAN, Operation

MOST_KERNEL, MOST_STRIDE = 64, 31  # as in runtime.c
SQUARE = {"pads": 0, "strides": 1, "dilations": 1}  # of a convolution: one number for all sides, and its default


class UnsupportedGraphError(FishboneError, ValueError):
    """The graph holds something that the sparse runtime has not; names the node."""


class Value(NamedTuple):
    """A tensor at run time: the tensor in whose memory it lies, (channels, height, width), dimensions in ONNX."""

    place: str
    shape: tuple[int, int, int]
    rank: int


class Node:
    """What a reader asks of a node."""

    def __init__(self, node: NodeProto, stored: dict[str, np.ndarray], values: dict[str, Value], batch: int | None):
        self.out, self.batch = node.output[0], batch
        self.attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
        self._inputs, self._stored, self._values = list(node.input), stored, values

    def has(self, index: int) -> bool:
        """Whether the node has this input."""
        return len(self._inputs) > index and self._inputs[index] != ""

    def value(self, index: int) -> Value:
        """An input that is computed at run time."""
        name = self._inputs[index]
        if name not in self._values:
            raise UnsupportedGraphError(f"reads {name!r}, which is not computed from the input")
        return self._values[name]

    def constant(self, index: int) -> np.ndarray:
        """An input that the file stores."""
        name = self._inputs[index]
        if name not in self._stored:
            raise UnsupportedGraphError(f"reads {name!r}, which is not stored in the file")
        return self._stored[name]

    def weight(self, dimensions: int) -> np.ndarray:
        """The second input: stored, float32, finite, of so many dimensions."""
        found = self.constant(1)
        if found.ndim != dimensions or found.dtype != np.float32 or not found.size or not np.isfinite(found).all():
            raise UnsupportedGraphError(f"has no finite float32 weights of {dimensions} dimensions")
        return found

    def bias(self, channels: int, shapes: Sequence[tuple[int, ...]]) -> np.ndarray:
        """(channels,) of the third input, which may be absent and must have one of ``shapes``."""
        if not self.has(2):
            return np.zeros(channels, np.float32)
        found = self.constant(2)
        if found.dtype != np.float32 or found.shape not in shapes or not np.isfinite(found).all():
            raise UnsupportedGraphError(f"has a bias of shape {found.shape} where {channels} finite float32 fit")
        return np.broadcast_to(found.reshape(-1), channels)


def _conv(node: Node) -> tuple[Value, Operation]:
    source, weight, attributes = node.value(0), node.weight(4), node.attributes
    channels, inputs, *kernel = weight.shape
    pads, strides, dilations = ({*attributes.get(key, ())} or {d} for key, d in SQUARE.items())
    square = len(set(kernel)) == len(pads) == len(strides) == 1
    if attributes.get("group", 1) != 1 or dilations != {1} or not square:
        raise UnsupportedGraphError("is grouped, dilated or not square")
    (padding,), (stride,), side = pads, strides, kernel[0]
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET" or not 0 <= padding < side:
        raise UnsupportedGraphError("is padded in an unusual way")
    if side > MOST_KERNEL or not 1 <= stride <= MOST_STRIDE:
        raise UnsupportedGraphError(f"has a kernel above {MOST_KERNEL} or a stride outside 1 to {MOST_STRIDE}")
    sides = [(length + 2 * padding - side) // stride + 1 for length in source.shape[1:]]
    declared = list(attributes.get("kernel_shape", kernel))
    if source.rank != 4 or source.shape[0] != inputs or min(sides) < 1 or declared != kernel:
        raise UnsupportedGraphError(f"does not fit an input of (channels, height, width) {source.shape}")
    bias, shape = node.bias(channels, [(channels,)]), (channels, *sides)
    step = Operation(CONV, source.place, node.out, shape, weight=weight, bias=bias, stride=stride, padding=padding)
    return Value(node.out, shape, 4), step


def _gemm(node: Node) -> tuple[Value, Operation]:
    source, weight, attributes = node.value(0), node.weight(2), node.attributes
    if attributes.get("alpha", 1.0) != 1 or (node.has(2) and attributes.get("beta", 1.0) != 1):
        raise UnsupportedGraphError("scales its input or bias")
    weight = weight if attributes.get("transB", 0) else weight.T
    channels, inputs = weight.shape
    if attributes.get("transA", 0) or source.rank != 2 or source.shape[0] != inputs:
        raise UnsupportedGraphError(f"does not multiply a batch of vectors with {inputs} elements")
    bias = node.bias(channels, [(), (1,), (1, 1), (channels,), (1, channels)])
    weight, shape = np.ascontiguousarray(weight)[:, :, None, None], (channels, 1, 1)
    return Value(node.out, shape, 2), Operation(LINEAR, source.place, node.out, shape, weight=weight, bias=bias)


def _add(node: Node) -> tuple[Value, Operation]:
    one, two = node.value(0), node.value(1)
    if (one.shape, one.rank) != (two.shape, two.rank):
        raise UnsupportedGraphError("adds other things than two tensors of one shape")
    step = Operation(ADD, one.place, node.out, one.shape, residual=two.place)
    return Value(node.out, one.shape, one.rank), step


def _relu(node: Node) -> tuple[Value, Operation]:
    source = node.value(0)
    step = Operation(ADD, source.place, node.out, source.shape, relu=True)
    return Value(node.out, source.shape, source.rank), step


def _global_mean(node: Node) -> tuple[Value, Operation]:
    return _mean(node, [2, 3], keepdims=1)


def _reduce_mean(node: Node) -> tuple[Value, Operation]:
    axes = node.constant(1) if node.has(1) else node.attributes.get("axes", ())  # an input since operator set 18
    return _mean(node, [int(axis) for axis in np.ravel(axes)], node.attributes.get("keepdims", 1))


def _mean(node: Node, axes: list[int], keepdims: int) -> tuple[Value, Operation]:
    source = node.value(0)
    if source.rank != 4 or sorted(axis + 4 * (axis < 0) for axis in axes) != [2, 3]:
        raise UnsupportedGraphError("takes the mean over other dimensions than height and width")
    shape = (source.shape[0], 1, 1)
    return Value(node.out, shape, 4 if keepdims else 2), Operation(MEAN, source.place, node.out, shape)


def _flatten(node: Node) -> tuple[Value, None]:
    source, axis = node.value(0), node.attributes.get("axis", 1)
    if axis + source.rank * (axis < 0) != 1:
        raise UnsupportedGraphError("reshapes the batch")
    return _vector(source, 2), None


def _reshape(node: Node) -> tuple[Value, None]:
    """Between (batch, channels) and (batch, channels, 1, 1), in whatever way the new shape is written."""
    source, wanted = node.value(0), [int(side) for side in np.ravel(node.constant(1))]
    old = (0, *source.shape)[: source.rank]
    if (node.attributes.get("allowzero", 0) and 0 in wanted) or len(wanted) not in (2, 4):
        raise UnsupportedGraphError("reshapes to other dimensions than a vector's")
    first, *rest = wanted
    if first not in (0, -1) and first != node.batch:
        raise UnsupportedGraphError("reshapes the batch")
    rest = [old[i] if side == 0 and i < len(old) else side for i, side in enumerate(rest, start=1)]
    if first != -1 and -1 in rest:
        rest[rest.index(-1)] = math.prod(source.shape) // max(1, -math.prod(rest))
    if rest != [source.shape[0], 1, 1][: len(rest)]:
        raise UnsupportedGraphError("reshapes more than a vector")
    return _vector(source, len(wanted)), None


def _vector(source: Value, rank: int) -> Value:
    if source.shape[1:] != (1, 1):
        raise UnsupportedGraphError("reshapes more than a vector")
    return source._replace(rank=rank)


READERS = {
    "Conv": _conv,
    "Gemm": _gemm,
    "Add": _add,
    "Relu": _relu,
    "GlobalAveragePool": _global_mean,
    "ReduceMean": _reduce_mean,
    "Flatten": _flatten,
    "Reshape": _reshape,
}
