"""Facts of an ONNX file: hashes, sizes, parameters, non-zeros and multiply-accumulates (MACs).

Three hashes: of the file; of its *weights* (sorted names, types, shapes and values), which survives another exporter
version; of its *graph* (operators, attributes and edges, values numbered in order of production), which survives
renaming. *Weights* are the kernels of Conv, ConvTranspose, Gemm and MatMul; *parameters* all stored floats. MACs are
for one input; *sparse MACs* count the non-zero weights only, so they are what a sparse runtime would do.
"""

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import onnx
import zstandard
from google.protobuf.message import DecodeError
from onnx import ModelProto, NodeProto, numpy_helper

from fishbone.edge.results import FileFacts
from fishbone.errors import InputError

ZSTD_LEVEL = 19
KERNEL_OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def read_onnx(path: str | Path) -> ModelProto:
    """Parse a self-contained model.

    Raises:
        InputError: the file is missing, no ONNX model, or keeps its weights in a second file.
    """
    try:
        proto = onnx.load(path, load_external_data=False)
    except FileNotFoundError:
        raise InputError("file is missing", file=path, remedy="Export it with `fishbone export`.") from None
    except (DecodeError, OSError) as error:
        raise InputError(f"not an ONNX model: {error}", file=path, remedy="Export it again.") from None
    if not proto.graph.node:
        raise InputError("not an ONNX model: its graph is empty", file=path, remedy="Export it again.")
    if any(onnx.external_data_helper.uses_external_data(tensor) for tensor in proto.graph.initializer):
        remedy = "Save it as one file: onnx.save(onnx.load(FILE), FILE, save_as_external_data=False)."
        raise InputError("keeps its weights in a second file, so one hash does not hold it", file=path, remedy=remedy)
    return proto


def tensors(proto: ModelProto) -> dict[str, np.ndarray]:
    """Name → stored tensor: initializers and Constant nodes."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value":
                stored[node.output[0]] = numpy_helper.to_array(attribute.t)
    return stored


def kernels(proto: ModelProto) -> dict[str, np.ndarray]:
    """Stored tensors as a node reads them: a kernel kept in int8 appears behind its DequantizeLinear, as floats."""
    stored = tensors(proto)
    for node in proto.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in stored and stored[node.input[0]].ndim >= 2:
            quantised, scale, zero = (stored[name] for name in node.input)
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            shape = [-1 if side == axis else 1 for side in range(quantised.ndim)] if scale.ndim else [1]
            levels = quantised.astype(np.float32) - zero.astype(np.float32).reshape(shape)
            stored[node.output[0]] = levels * scale.reshape(shape)
    return stored


def known_facts(path: str | Path) -> FileFacts:
    """Facts of a file, taken from the JSON beside it if that is of this very file, else measured.

    Measuring takes about 0.5 s a megabyte, for the compression.

    Raises:
        InputError: as `read_onnx`.
    """
    path = Path(path)
    proto, content = read_onnx(path), path.read_bytes()
    try:
        beside = FileFacts.model_validate(json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["facts"])
    except (OSError, ValueError, KeyError, TypeError):
        beside = None
    if beside and beside.sha256 == hashlib.sha256(content).hexdigest():
        return beside
    return facts(proto, content)


def facts(proto: ModelProto, content: bytes) -> FileFacts:
    """Facts of a model whose file holds ``content``."""
    stored = tensors(proto)
    weights, nonzero = count_weights(proto)
    macs, sparse_macs = _macs(proto, kernels(proto))
    quantised = any(node.op_type == "QuantizeLinear" for node in proto.graph.node)
    return FileFacts(
        sha256=hashlib.sha256(content).hexdigest(),
        weights_sha256=_weights_hash(stored),
        graph_sha256=_graph_hash(proto),
        bytes=len(content),
        zstd_bytes=len(zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(content)),
        opset=next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 1),
        parameters=_parameters(proto, stored),
        weights=weights,
        nonzero=nonzero,
        macs=macs,
        sparse_macs=sparse_macs,
        quantised=quantised,
    )


def _parameters(proto: ModelProto, stored: dict[str, np.ndarray]) -> int:
    """Stored floats; in int8 files the integers that stand for floats, without their scales."""
    quantising = [node for node in proto.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    kept = {node.input[0] for node in quantising} & stored.keys()
    helpers = {name for node in quantising for name in node.input[1:]}
    floats = {name for name, array in stored.items() if array.dtype.kind == "f"} - helpers
    return sum(stored[name].size for name in floats | kept)


def count_weights(proto: ModelProto) -> tuple[int, int]:
    """(weights, non-zero weights) of all kernels; one that two nodes share counts once."""
    stored = kernels(proto)
    found = {name: stored[name] for node in proto.graph.node for name in node.input if _is_kernel(node, name, stored)}
    return sum(array.size for array in found.values()), sum(int(np.count_nonzero(a)) for a in found.values())


def _is_kernel(node: NodeProto, name: str, stored: dict) -> bool:
    return node.op_type in KERNEL_OPERATORS and name in stored and stored[name].ndim >= 2


def _macs(proto: ModelProto, stored: dict) -> tuple[int | None, int | None]:
    """(MACs, sparse MACs); None where a shape or a kernel is not known from the file alone."""
    shapes = _shapes(proto)
    total = sparse = 0
    for node in proto.graph.node:
        if node.op_type not in KERNEL_OPERATORS:
            continue
        kernel = next((stored[name] for name in node.input if _is_kernel(node, name, stored)), None)
        # How often each weight is used: once an output position, or an input position where convolution is transposed.
        used = shapes.get(node.input[0] if node.op_type == "ConvTranspose" else node.output[0])
        if kernel is None or used is None:
            return None, None
        uses = math.prod(used[2:] if node.op_type.startswith("Conv") else used[1:-1])
        total += kernel.size * uses
        sparse += int(np.count_nonzero(kernel)) * uses
    return total, sparse


def _shapes(proto: ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes with a batch of 1, of the values whose other dimensions are known."""
    graph = onnx.shape_inference.infer_shapes(proto).graph
    shapes = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if all(dim.HasField("dim_value") for dim in dims[1:]):
            shapes[value.name] = (1, *(dim.dim_value for dim in dims[1:]))
    return shapes


def _weights_hash(stored: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(stored.items()):
        digest.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _graph_hash(proto: ModelProto) -> str:
    numbers: dict[str, int] = {}

    def number(name: str) -> int:
        return numbers.setdefault(name, len(numbers)) if name else -1

    nodes = [
        [
            node.domain,
            node.op_type,
            [number(name) for name in node.input],
            [number(name) for name in node.output],
            sorted(attribute.SerializeToString(deterministic=True).hex() for attribute in node.attribute),
        ]
        for node in proto.graph.node
    ]
    ends = [[number(value.name) for value in values] for values in (proto.graph.input, proto.graph.output)]
    return hashlib.sha256(json.dumps([nodes, ends]).encode()).hexdigest()
