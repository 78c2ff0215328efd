"""What a graph holds and computes: weights, those that are not zero, and multiply-accumulates (MACs).

*Weights* are the kernels of Conv, ConvTranspose, Gemm and MatMul, in float or in 8 bits, each once however many nodes
read it. MACs are for one input; *sparse MACs* leave out the weights that are zero. A product of two computed values has
no weights and all of its MACs. What the file alone does not tell is None, with the reason: no number is too small.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, ValueInfoProto, helper

from fishbone.export.canonical import canonical
from fishbone.export.operators import COUNTED, Form, UnknownCountError, form_of, name_of, standard
from fishbone.export.stored import read_arrays

LARGEST_SHAPE = 1024  # values: a larger tensor is no shape, axis or pad that shape inference would look at


@dataclass(frozen=True)
class Counts:
    """What the module's docstring defines; ``unknown`` says why a number is None."""

    weights: int | None = None
    nonzero: int | None = None
    macs: int | None = None
    sparse_macs: int | None = None
    unknown: str | None = None


@dataclass(frozen=True)
class Product:
    """One node that multiplies, in standard form.

    ``kernel``: the stored tensor's name, the shape that the node reads, and its non-zeros; None: both are computed.
    """

    name: str
    node: NodeProto
    kernel: tuple[str, tuple[int, ...], int] | None


def count(proto: ModelProto) -> Counts:
    """Count what a model holds and computes, as the module's docstring defines it."""
    proto = canonical(proto)
    try:
        products = _products(proto)
    except UnknownCountError as error:
        return Counts(unknown=str(error))
    held = {kernel[0]: kernel for product in products if (kernel := product.kernel)}
    weights, nonzero = sum(math.prod(shape) for _, shape, _ in held.values()), sum(n for _, _, n in held.values())
    try:
        macs, sparse_macs = _macs(proto, products)
    except UnknownCountError as error:
        return Counts(weights, nonzero, unknown=str(error))
    return Counts(weights, nonzero, macs, sparse_macs)


def _products(proto: ModelProto) -> list[Product]:
    stored, roots = read_arrays(proto)
    own = {(function.domain, function.name) for function in proto.functions}
    computed = {value.name for value in _inputs(proto)}  # from the inputs; what is not is the same in every run
    found = []
    for node in proto.graph.node:
        if (node.domain, node.op_type) in own:
            raise UnknownCountError(f"{name_of(node)}: a function of the file's own, which is not looked into")
        form = form_of(node)
        if form and form.operator in COUNTED:
            found.append(_product(node, form, computed, stored, roots))
        if any(name in computed for name in node.input):
            computed.update(node.output)
    return found


def _product(
    node: NodeProto, form: Form, computed: set[str], stored: Mapping[str, np.ndarray], roots: Mapping[str, str]
) -> Product:
    left, right = (node.input[place] for place in form.places)
    if right in computed and (left in computed or form.operator not in ("Gemm", "MatMul")):
        return Product(name_of(node), standard(node), None)
    name, zero = (right, form.zero) if right not in computed else (left, None)
    if name == left and form.zero is not None:
        raise UnknownCountError(f"{name_of(node)}: its kernel comes first, where its zero point is not looked for")
    if name not in stored:
        raise UnknownCountError(f"{name_of(node)}: its kernel {name} is not stored as it is used")
    array = stored[name]
    nonzero = np.count_nonzero(array.astype(np.float32) != _zero_point(node, form, zero, stored, array))
    return Product(name_of(node), standard(node), (roots[name], array.shape, int(nonzero)))


def _zero_point(
    node: NodeProto, form: Form, place: int | None, stored: Mapping[str, np.ndarray], array: np.ndarray
) -> np.ndarray:
    """What the kernel's integers are counted from, to be broadcast against it; 0 for floats."""
    name = node.input[place] if place is not None and place < len(node.input) else ""
    if not name:
        return np.zeros((), np.float32)
    if name not in stored:
        raise UnknownCountError(f"{name_of(node)}: the kernel's zero point {name} is not stored")
    zero = stored[name].astype(np.float32)
    if zero.size == 1:
        return zero.reshape(())
    by_rows = form.operator == "Conv" or any(a.name == "transB" and a.i for a in node.attribute)
    if zero.ndim == 1 and len(zero) == array.shape[0 if by_rows else -1]:
        return zero.reshape(-1, *[1] * (array.ndim - 1)) if by_rows else zero
    raise UnknownCountError(f"{name_of(node)}: the kernel's zero points {zero.shape} do not fit {array.shape}")


def _macs(proto: ModelProto, products: list[Product]) -> tuple[int, int]:
    """(MACs, sparse MACs) of one input. Every weight of a kernel is used equally often."""
    if not products:
        return 0, 0
    shapes = _shapes(proto)
    _check_reshapes(proto, shapes)
    total = sparse = 0
    for product in products:
        macs = _macs_of(product, shapes)
        total += macs
        size = math.prod(product.kernel[1]) if product.kernel else 1
        sparse += macs * product.kernel[2] // size if product.kernel and size else macs
    batch = _fixed_batch(proto, shapes)
    if total % batch or sparse % batch:
        raise UnknownCountError(f"{total} multiply-accumulates are no multiple of the {batch} inputs that it takes")
    return total // batch, sparse // batch


def _macs_of(product: Product, shapes: dict[str, tuple[int, ...]]) -> int:
    def shape(name: str) -> tuple[int, ...]:
        if name not in shapes:
            raise UnknownCountError(f"{product.name}: the shape of {name} is not known from the file alone")
        return shapes[name]

    node = product.node
    data, kernel = node.input[:2]
    if node.op_type in ("Conv", "ConvTranspose"):
        first, *others = product.kernel[1] if product.kernel else shape(kernel)
        used = shape(node.output[0] if node.op_type == "Conv" else data)
        return math.prod(used) * math.prod(others) if first else 0
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return math.prod(shape(node.output[0])) * shape(data)[0 if transposed else -1]


def _fixed_batch(proto: ModelProto, shapes: dict[str, tuple[int, ...]]) -> int:
    """How many inputs a run takes: the first side of an input and an output alike; 1 where the file leaves it free."""
    given = [value.type.tensor_type.shape.dim for value in _inputs(proto)]
    sides = {dims[0].dim_value or 1 for dims in given if dims}
    if sides <= {1}:
        return 1
    outputs = [value.name for value in proto.graph.output]
    kept = sides & {side for name in outputs for side in shapes.get(name, ())[:1]}
    if len(kept) == 1:
        return kept.pop()
    for name in outputs:
        if name not in shapes:
            raise UnknownCountError(f"the shape of {name} is not known from the file alone")
    found = " or ".join(map(str, sorted(sides | {1})))
    raise UnknownCountError(f"outputs {', '.join(outputs)} do not tell whether a run takes {found} inputs")


def _check_reshapes(proto: ModelProto, shapes: dict[str, tuple[int, ...]]) -> None:
    """Shape inference believes a target shape that holds another batch than the one that it was given."""
    for node in proto.graph.node:
        ends = [shapes[name] for name in (*node.input[:1], *node.output[:1]) if name in shapes]
        if node.op_type == "Reshape" and len(ends) == 2:
            before, after = ends
            if math.prod(before) != math.prod(after):
                raise UnknownCountError(f"{name_of(node)}: {before} of one input does not fit {after}")


def _inputs(proto: ModelProto) -> list[ValueInfoProto]:
    """Without the initializers that old files list as inputs too."""
    held = {tensor.name for tensor in proto.graph.initializer}
    return [value for value in proto.graph.input if value.name not in held]


def _shapes(proto: ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes of the values where all sides are known, with 1 for a batch that is free.

    Inferred anew: shapes that a file states may be of another batch, or wrong.
    """
    graph = helper.make_graph([standard(node) for node in proto.graph.node], "shapes", [], [])
    for value in _inputs(proto):
        added = graph.input.add()
        added.CopyFrom(value)
        if (dims := added.type.tensor_type.shape.dim) and not dims[0].dim_value:
            dims[0].dim_value = 1
    for tensor in proto.graph.initializer:
        if math.prod(tensor.dims) > LARGEST_SHAPE:  # the shape alone, so that weights are not copied
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        else:
            graph.initializer.append(tensor)
    for value in proto.graph.output:
        graph.output.add().name = value.name
    opsets = [entry for entry in proto.opset_import if entry.domain == ""]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=proto.ir_version or 8)
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception as error:  # the library raises several kinds, RuntimeError among them
        raise UnknownCountError(f"shapes cannot be inferred: {str(error).strip().splitlines()[-1]}") from None
    shapes = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim):
            shapes[value.name] = tuple(dim.dim_value for dim in kind.shape.dim)
    return shapes
