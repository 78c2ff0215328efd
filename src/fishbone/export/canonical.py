"""An ONNX model in one form, where the format has several for the same thing.

Sparse tensors become dense ones, numbers of Constant nodes become tensors, and the standard operators' domain is "",
never "ai.onnx". Whoever counts, hashes or compares then has one form to know.
"""

import math

import numpy as np
from onnx import (
    AttributeProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    external_data_helper,
    helper,
    numpy_helper,
)

from fishbone.errors import ArgumentError
from fishbone.export.stored import all_graphs, all_nodes

LONG_DOMAIN = "ai.onnx"
LARGEST = 2**31  # values of a dense tensor: ONNX files end at 2 GB
NUMBERS = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}


def canonical(proto: ModelProto) -> ModelProto:
    """A copy in that form, or ``proto`` itself where it has it already.

    Raises:
        ArgumentError: a sparse tensor is damaged, too large to be dense, or in a second file.
    """
    named = [*proto.opset_import, *all_nodes(proto)]
    long = any(entry.domain == LONG_DOMAIN for entry in named)
    sparse = any(graph.sparse_initializer for graph in all_graphs(proto))
    if not (long or sparse or any(_spelled_out(node) for node in all_nodes(proto))):
        return proto
    copy = ModelProto()
    copy.CopyFrom(proto)
    for graph in all_graphs(copy):
        graph.initializer.extend(map(_dense, graph.sparse_initializer))
        del graph.sparse_initializer[:]
    for entry in (*copy.opset_import, *all_nodes(copy)):
        entry.domain = "" if entry.domain == LONG_DOMAIN else entry.domain
    for node in all_nodes(copy):
        for attribute in _spelled_out(node):
            attribute.CopyFrom(helper.make_attribute("value", _tensor(attribute)))
    return copy


def _spelled_out(node: NodeProto) -> list[AttributeProto]:
    """A Constant node's numbers that are not in a tensor."""
    return [a for a in node.attribute if node.op_type == "Constant" and a.name in (*NUMBERS, "sparse_value")]


def _tensor(attribute: AttributeProto) -> TensorProto:
    if attribute.name == "sparse_value":
        return _dense(attribute.sparse_tensor)
    return numpy_helper.from_array(np.array(helper.get_attribute_value(attribute), NUMBERS[attribute.name]))


def _dense(sparse: SparseTensorProto) -> TensorProto:
    name, shape = sparse.values.name, tuple(sparse.dims)
    if any(external_data_helper.uses_external_data(tensor) for tensor in (sparse.values, sparse.indices)):
        raise ArgumentError(f"sparse tensor {name} is kept in a second file")
    if math.prod(shape) > LARGEST:
        raise ArgumentError(f"sparse tensor {name} of {shape} is too large")
    values, places = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    dense = np.zeros(math.prod(shape), values.dtype)
    try:
        dense[np.ravel_multi_index(tuple(places.T), shape) if places.ndim == 2 else places] = values
    except (ValueError, IndexError) as error:
        raise ArgumentError(f"sparse tensor {name} is damaged: {error}") from None
    return numpy_helper.from_array(dense.reshape(shape), name)
