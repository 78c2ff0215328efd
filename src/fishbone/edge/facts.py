"""Facts of an ONNX file: hashes, sizes, parameters, non-zeros and multiply-accumulates (MACs).

Three hashes: of the file; of its *weights* (sorted names, types, shapes and values), which survives another exporter
version; of its *graph* (operators, attributes and edges, values numbered in order of production), which survives
renaming. *Parameters* are all stored floats. Weights, non-zeros and MACs are counted by fishbone.edge.counts.
"""

import hashlib
import json
import math
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import zstandard
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, numpy_helper

from fishbone.edge.counts import count
from fishbone.edge.operators import FORMS
from fishbone.edge.results import FileFacts
from fishbone.edge.stored import all_tensors
from fishbone.errors import InputError

ZSTD_LEVEL = 19
QUANTISED = re.compile("^QuantizeLinear$|^DynamicQuantize|^QLinear|^QGemm|Integer")  # part of it computes in 8 bits
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)


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
    if any(onnx.external_data_helper.uses_external_data(tensor) for _, tensor in all_tensors(proto)):
        remedy = "Save it as one file: onnx.save(onnx.load(FILE), FILE, save_as_external_data=False)."
        raise InputError("keeps its weights in a second file, so one hash does not hold it", file=path, remedy=remedy)
    return proto


def file_facts(path: str | Path) -> FileFacts:
    """Facts of a file, always measured: a JSON beside it proves nothing of it. About 0.5 s a megabyte, to compress it.

    Raises:
        InputError: as `read_onnx`.
    """
    proto = read_onnx(path)
    return facts(proto, Path(path).read_bytes())


def facts(proto: ModelProto, content: bytes) -> FileFacts:
    """Facts of a model whose file holds ``content``."""
    return FileFacts(
        sha256=hashlib.sha256(content).hexdigest(),
        weights_sha256=_weights_hash(proto),
        graph_sha256=_graph_hash(proto),
        bytes=len(content),
        zstd_bytes=len(zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(content)),
        opset=next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 1),
        parameters=_parameters(proto),
        quantised=any(QUANTISED.search(node.op_type) for node in proto.graph.node),
        **asdict(count(proto)),
    )


def count_weights(proto: ModelProto) -> tuple[int | None, int | None]:
    """(weights, non-zero weights) of all kernels; see fishbone.edge.counts."""
    found = count(proto)
    return found.weights, found.nonzero


def _parameters(proto: ModelProto) -> int:
    """Stored floats, at any depth; in int8 files the integers that stand for floats, without their scales."""
    stored = dict(all_tensors(proto))
    kept, helpers = set(), set()
    for node in proto.graph.node:
        form = FORMS.get((node.domain, node.op_type))
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            kept.add(node.input[0])
            helpers.update(node.input[1:])
        elif form and form.zero is not None:
            biases = {name for name in node.input if name in stored and stored[name].data_type == TensorProto.INT32}
            kept |= biases | {node.input[form.places[1]]}
            helpers.update(set(node.input) - kept)
    return sum(
        math.prod(tensor.dims)
        for name, tensor in all_tensors(proto)
        if name in kept or (tensor.data_type in FLOATS and name not in helpers)
    )


def _weights_hash(proto: ModelProto) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(all_tensors(proto), key=lambda pair: pair[0]):
        array = numpy_helper.to_array(tensor)
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
