"""ONNX → the flat file that ``runtime.c`` reads (its format is described there).

Convolutions (square kernels, one group, no dilation), linear layers, ReLU, additions and the mean over all pixels, so
ResNets as they are exported here. Additions and ReLU are fused into the convolution before them where nothing else
reads what lies between; tensors of one shape share memory where their lives do not overlap.
"""

import struct
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto

from fishbone.edge.stored import tensors

RUNTIME = Path(__file__).with_name("runtime.c")
MAGIC, VERSION = b"FBSPARSE", 1
CONV, LINEAR, MEAN, ADD = range(4)
OPERATORS = ("Conv", "Gemm", "ReduceMean", "GlobalAveragePool", "Add", "Relu", "Flatten", "Reshape")


@dataclass(frozen=True)
class Operation:
    """One step. ``weight`` is (channels, inputs, kernel, kernel), ``bias`` (channels,); names are of tensors."""

    kind: int
    source: str
    out: str
    residual: str | None = None
    relu: bool = False
    weight: np.ndarray | None = field(default=None, repr=False)
    bias: np.ndarray | None = field(default=None, repr=False)
    stride: int = 1
    padding: int = 0

    @property
    def reads(self) -> list[str]:
        return [self.source] + ([self.residual] if self.residual else [])


class UnsupportedGraphError(ValueError):
    """The graph holds something that the sparse runtime has not; names the node."""


def compile_plan(proto: ModelProto) -> bytes:
    """The flat file's content for an ONNX model.

    Raises:
        UnsupportedGraphError: the sparse runtime cannot run it.
    """
    shapes = _shapes(proto)
    operations = _fused(_operations(proto, shapes), _outputs(proto))
    shapes |= {op.out: shapes[op.out] for op in operations}
    slots, slot_shapes = _slots(operations, shapes, proto.graph.input[0].name, _outputs(proto))
    head = [VERSION, len(slot_shapes), len(operations), slots[proto.graph.input[0].name], slots[_outputs(proto)[0]]]
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
    if op.weight is None:
        return head
    per_channel = op.weight[0].size
    rows = np.searchsorted(nonzero, np.arange(len(op.weight) + 1) * per_channel).astype("<i4")
    values = op.weight.reshape(-1)[nonzero].astype("<f4")
    arrays = rows, (nonzero % per_channel).astype("<i4"), values, op.bias.astype("<f4")
    return head + b"".join(array.tobytes() for array in arrays)


def _outputs(proto: ModelProto) -> list[str]:
    return [value.name for value in proto.graph.output]


def _shapes(proto: ModelProto) -> dict[str, tuple[int, int, int]]:
    """Tensor → (channels, height, width); vectors have sides of 1."""
    graph = onnx.shape_inference.infer_shapes(proto).graph
    shapes = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if len(dims) in (2, 3, 4) and all(dims[1:]):
            shapes[value.name] = (*dims[1:], 1, 1)[:3]
    if len(graph.input) != 1 or len(graph.output) != 1 or graph.input[0].name not in shapes:
        raise UnsupportedGraphError("the graph needs one input of fixed sides and one output")
    return shapes


def _operations(proto: ModelProto, shapes: dict) -> list[Operation]:
    """One operation a node; reshapes of vectors only rename."""
    stored, operations, alias = tensors(proto), [], {}
    for node in proto.graph.node:
        if node.op_type == "Constant":
            continue
        what = f"{node.op_type} {node.name or node.output[0]}"
        if node.op_type not in OPERATORS:
            raise UnsupportedGraphError(f"{what} is none of {', '.join(OPERATORS)}")
        if node.output[0] not in shapes or any(
            alias.get(name, name) not in shapes for name in node.input if name and name not in stored
        ):
            raise UnsupportedGraphError(f"{what} has no fixed shape")
        inputs = [alias.get(name, name) for name in node.input]
        if node.op_type in ("Flatten", "Reshape"):
            if np.prod(shapes[inputs[0]]) != shapes[inputs[0]][0] or shapes[inputs[0]] != shapes[node.output[0]]:
                raise UnsupportedGraphError(f"{what} reshapes more than a vector")
            alias[node.output[0]] = inputs[0]
            continue
        try:
            operations.append(_operation(node, inputs, stored, shapes))
        except UnsupportedGraphError as error:
            raise UnsupportedGraphError(f"{what} {error}") from None
    last = _outputs(proto)[0]
    if last in alias:
        raise UnsupportedGraphError("the graph ends with a reshape")
    return operations


def _operation(node: NodeProto, inputs: list[str], stored: dict, shapes: dict) -> Operation:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    source, out = inputs[0], node.output[0]
    match node.op_type:
        case "Conv":
            return _conv(attributes, inputs, out, stored)
        case "Gemm":
            return _gemm(attributes, inputs, out, stored)
        case "Add":
            if inputs[1] in stored or shapes[source] != shapes[inputs[1]]:
                raise UnsupportedGraphError("adds other things than two tensors of one shape")
            return Operation(ADD, source, out, residual=inputs[1])
        case "Relu":
            return Operation(ADD, source, out, relu=True)
    if shapes[out] != (shapes[source][0], 1, 1):
        raise UnsupportedGraphError("takes the mean over other dimensions than height and width")
    return Operation(MEAN, source, out)


def _conv(attributes: dict, inputs: list[str], out: str, stored: dict) -> Operation:
    weight = stored.get(inputs[1])
    if weight is None or weight.ndim != 4 or weight.dtype != np.float32:
        raise UnsupportedGraphError("has no stored float32 kernel of two dimensions")
    pads, strides = set(attributes.get("pads", [0])), set(attributes.get("strides", [1]))
    plain = attributes.get("group", 1) == 1 and set(attributes.get("dilations", [1])) == {1}
    if not plain or weight.shape[2] != weight.shape[3] or len(pads) > 1 or len(strides) > 1:
        raise UnsupportedGraphError("is grouped, dilated or not square")
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET" or not max(pads) < weight.shape[2]:
        raise UnsupportedGraphError("is padded in an unusual way")
    bias = stored[inputs[2]] if len(inputs) > 2 else np.zeros(len(weight), np.float32)
    return Operation(CONV, inputs[0], out, weight=weight, bias=bias, stride=strides.pop(), padding=pads.pop())


def _gemm(attributes: dict, inputs: list[str], out: str, stored: dict) -> Operation:
    weight = stored.get(inputs[1])
    if weight is None or weight.dtype != np.float32 or attributes.get("transA") or inputs[0] in stored:
        raise UnsupportedGraphError("has no stored float32 matrix")
    if attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0:
        raise UnsupportedGraphError("scales its input or bias")
    weight = weight if attributes.get("transB") else weight.T
    bias = np.broadcast_to(stored[inputs[2]] if len(inputs) > 2 else np.float32(0), len(weight))
    return Operation(LINEAR, inputs[0], out, weight=np.ascontiguousarray(weight)[:, :, None, None], bias=bias)


def _fused(operations: list[Operation], outputs: list[str]) -> list[Operation]:
    """ReLU into whatever comes before it; an addition into the later of the two convolutions that it adds."""
    changed = True
    while changed:
        changed = False
        readers = Counter(name for op in operations for name in op.reads) + Counter(outputs)
        place = {op.out: index for index, op in enumerate(operations)}
        for index, op in enumerate(operations):
            found = _merged(op, operations, readers, place)
            if found:
                into, merged = found
                operations = [merged if i == into else o for i, o in enumerate(operations) if i != index]
                changed = True
                break
    return operations


def _merged(op: Operation, operations: list[Operation], readers: Counter, place: dict) -> tuple[int, Operation] | None:
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


def _slots(operations: list[Operation], shapes: dict, first: str, outputs: list[str]) -> tuple[dict, list]:
    """(tensor → slot, shape of each slot): a slot is taken again once nobody reads what it held."""
    last_read = {name: index for index, op in enumerate(operations) for name in op.reads}
    slots, shape_of, free = {first: 0}, [shapes[first]], {}
    for index, op in enumerate(operations):
        spare = free.get(_layout(op.out, shapes, operations), [])
        if spare:
            slots[op.out] = spare.pop()
        else:
            slots[op.out] = len(shape_of)
            shape_of.append(shapes[op.out])
        for name in set(op.reads):
            if last_read[name] == index and name not in (first, *outputs):
                free.setdefault(_layout(name, shapes, operations), []).append(slots[name])
    return slots, shape_of


def _layout(name: str, shapes: dict, operations: list[Operation]) -> tuple:
    """What two tensors must have in common to lie in one place: shape, and padding for their readers."""
    return shapes[name], max((op.padding for op in operations if op.source == name and op.kind == CONV), default=0)
