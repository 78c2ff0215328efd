"""An ONNX graph → the sparse runtime's operations: each node is computed as ONNX defines it, or refused by its name.

Shapes are worked out here, node by node, as those that a file declares may be absent or wrong. The batch is whatever
the caller runs, so every tensor keeps it as its first dimension.
"""

import math
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto
from onnx.onnx_cpp2py_export.checker import CheckerContext

from fishbone.export.stored import tensors
from fishbone.sparse.nodes import READERS, Node, UnsupportedGraphError, Value
from fishbone.sparse.operations import Operation

OLDEST_OPSET = 7  # before, Add and Gemm broadcast by attributes
MOST_SIDE, MOST_PIXELS = 1 << 15, 1 << 30  # as in runtime.c


@dataclass(frozen=True)
class Graph:
    """Operations in order; ``source`` is what goes in, ``output`` the tensor that comes out."""

    source: Value
    operations: list[Operation]
    output: str


def read_graph(proto: ModelProto) -> Graph:
    """Read a model as the sparse runtime's operations.

    Raises:
        UnsupportedGraphError: the sparse runtime cannot run it.
    """
    _check(proto)
    stored = tensors(proto)
    source, batch = _source(proto, stored)
    values, operations = {source.place: source}, []
    for node in proto.graph.node:
        if node.op_type == "Constant":
            continue
        try:
            if node.output[0] in values or node.output[0] in stored:
                raise UnsupportedGraphError(f"makes {node.output[0]}, which is there already")
            value, operation = READERS[node.op_type](Node(node, stored, values, batch))
            if max(value.shape) > MOST_SIDE or math.prod(value.shape) > MOST_PIXELS:
                raise UnsupportedGraphError(f"makes a tensor that is too large: {value.shape}")
        except UnsupportedGraphError as error:
            raise UnsupportedGraphError(f"{_name(node)} {error}") from None
        values[node.output[0]] = value
        operations += [operation] if operation else []
    output = proto.graph.output[0].name
    if output not in values or values[output].place == source.place:
        maker = next((node.name for node in proto.graph.node if output in node.output), "")
        raise UnsupportedGraphError(f"{maker or output} computes nothing from the input")
    return Graph(source, operations, values[output].place)


def _check(proto: ModelProto) -> None:
    """One output, and known operators with as many inputs and attributes of such kinds as ONNX gives them."""
    opset = max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    if opset < OLDEST_OPSET:
        raise UnsupportedGraphError(f"operator set {opset} is older than {OLDEST_OPSET}")
    if len(proto.graph.output) != 1:
        names = ", ".join(value.name for value in proto.graph.output)
        raise UnsupportedGraphError(f"the graph needs one output and has {names}")
    checks = CheckerContext()
    checks.ir_version, checks.opset_imports = proto.ir_version, {"": opset}
    for node in proto.graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in (*READERS, "Constant"):
            raise UnsupportedGraphError(f"{_name(node)} is none of {', '.join(READERS)}")
        try:
            onnx.checker.check_node(node, checks)
        except onnx.checker.ValidationError as error:
            raise UnsupportedGraphError(f"{_name(node)} is no valid ONNX: {error}") from None


def _name(node: NodeProto) -> str:
    return f"{node.op_type} {node.name or ', '.join(node.output)}"


def _source(proto: ModelProto, stored: dict[str, np.ndarray]) -> tuple[Value, int | None]:
    """(the one input that is not stored, its batch size or None)."""
    inputs = [value for value in proto.graph.input if value.name not in stored]  # old files list weights there too
    if len(inputs) != 1:
        raise UnsupportedGraphError(f"the graph needs one input and has {', '.join(value.name for value in inputs)}")
    kind = inputs[0].type.tensor_type
    batch, *sides = (dim.dim_value for dim in kind.shape.dim) if kind.shape.dim else (0,)
    if kind.elem_type != TensorProto.FLOAT or len(sides) not in (1, 3) or not all(side > 0 for side in sides):
        problem = "is no batch of float32 images or vectors of fixed sides"
        raise UnsupportedGraphError(f"the input {inputs[0].name} {problem}")
    if max(sides) > MOST_SIDE or math.prod(sides) > MOST_PIXELS:
        raise UnsupportedGraphError(f"the input {inputs[0].name} is too large")
    return Value(inputs[0].name, (*sides, 1, 1)[:3], len(sides) + 1), batch or None
