"""What an ONNX file stores: its tensors, at any depth, and the arrays that its nodes read."""

from collections.abc import Iterable, Iterator

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

# Each keeps every value, or scales it, and none makes more values than it is given.
FOLDED = ("DequantizeLinear", "QuantizeLinear", "Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose",
          "Unsqueeze")  # fmt: skip


def tensors(proto: ModelProto) -> dict[str, np.ndarray]:
    """Name → tensor stored in the main graph: initializers and Constant nodes."""
    return {name: numpy_helper.to_array(tensor) for name, tensor in _stored(proto.graph, proto.graph.node)}


def all_tensors(proto: ModelProto) -> Iterator[tuple[str, TensorProto]]:
    """(name, tensor) of everything stored, in nested graphs and functions too; names repeat between graphs."""
    for graph in all_graphs(proto):
        yield from _stored(graph, graph.node)
    for function in proto.functions:
        yield from _stored(None, function.node)


def all_graphs(proto: ModelProto) -> Iterator[GraphProto]:
    """The main graph and those that nodes hold, of functions too."""
    yield proto.graph
    for nodes in (proto.graph.node, *(function.node for function in proto.functions)):
        yield from _inner(nodes)


def all_nodes(proto: ModelProto) -> Iterator[NodeProto]:
    """Nodes of all graphs and functions."""
    for graph in all_graphs(proto):
        yield from graph.node
    for function in proto.functions:
        yield from function.node


def kernels(proto: ModelProto) -> dict[str, np.ndarray]:
    """Stored tensors as a node reads them: behind DequantizeLinear, for example, an int8 kernel appears as floats."""
    return read_arrays(proto)[0]


def read_arrays(proto: ModelProto) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(`kernels`, each name → the name of the stored tensor that it was made of)."""
    found = tensors(proto)
    roots = {name: name for name in found}
    opsets = {entry.domain: entry.version for entry in proto.opset_import} or {"": 1}
    for node in proto.graph.node:
        given = [name for name in node.input if name]
        if node.op_type in FOLDED and node.output and given and all(name in found for name in given):
            made = _computed(node, {name: found[name] for name in given}, opsets)
            if made is not None:
                found[node.output[0]], roots[node.output[0]] = made, roots[given[0]]
    return found, roots


def _computed(node: NodeProto, feed: dict[str, np.ndarray], opsets: dict[str, int]) -> np.ndarray | None:
    """None: not in a form that ONNX's own reference knows."""
    standard = NodeProto()
    standard.CopyFrom(node)
    standard.domain = ""  # ONNX Runtime's DequantizeLinear of 16 bits is the standard one under another name
    try:
        return np.asarray(next(iter(ReferenceEvaluator(standard, opsets=opsets).run(None, feed))))
    except Exception:  # it raises whatever its numpy code does
        return None


def _stored(graph: GraphProto | None, nodes: Iterable[NodeProto]) -> Iterator[tuple[str, TensorProto]]:
    for tensor in graph.initializer if graph else ():
        yield tensor.name, tensor
    for node in nodes:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value" and node.output:
                yield node.output[0], attribute.t


def _inner(nodes: Iterable[NodeProto]) -> Iterator[GraphProto]:
    for node in nodes:
        for attribute in node.attribute:
            for graph in [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs:
                yield graph
                yield from _inner(graph.node)
