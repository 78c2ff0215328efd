"""Facts of an ONNX file: hashes, sizes, parameters, non-zeros and multiply-accumulates (MACs).

Three hashes: of the file; of its *weights* (sorted names, types, shapes and values), which survives another exporter
version; of its *graph* (operators, attributes and edges, values numbered in order of production), which survives
renaming. Parameters are counted by fishbone.export.parameters, weights, non-zeros and MACs by fishbone.export.counts,
all of it on the canonical form of the model.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import zstandard
from google.protobuf.message import DecodeError
from onnx import ModelProto, numpy_helper

from fishbone.errors import InputError
from fishbone.export.canonical import canonical
from fishbone.export.counts import count
from fishbone.export.operators import UnknownCountError, computes_in_8_bits
from fishbone.export.parameters import count_parameters
from fishbone.export.schema import FileFacts
from fishbone.export.stored import all_tensors

ZSTD_LEVEL = 19


def read_onnx(path: str | Path) -> ModelProto:
    """Parse a self-contained model, in its canonical form.

    Raises:
        InputError: the file is missing, no ONNX model, holds a damaged tensor, or keeps its weights in a second file.
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
    try:
        return canonical(proto)
    except ValueError as error:
        raise InputError(f"cannot be read: {error}", file=path, remedy="Export it again, densely.") from None


def file_facts(path: str | Path) -> FileFacts:
    """Facts of a file, always measured: a JSON beside it proves nothing of it. About 0.5 s a megabyte, to compress it.

    Raises:
        InputError: as `read_onnx`.
    """
    proto = read_onnx(path)
    return facts(proto, Path(path).read_bytes())


def facts(proto: ModelProto, content: bytes) -> FileFacts:
    """Facts of a model whose file holds ``content``."""
    proto = canonical(proto)
    return FileFacts(
        sha256=hashlib.sha256(content).hexdigest(),
        weights_sha256=_weights_hash(proto),
        graph_sha256=_graph_hash(proto),
        bytes=len(content),
        zstd_bytes=len(zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(content)),
        opset=next((o.version for o in proto.opset_import if o.domain == ""), 1),
        quantised=computes_in_8_bits(proto),
        **_counts(proto),
    )


def count_weights(proto: ModelProto) -> tuple[int | None, int | None]:
    """(weights, non-zero weights) of all kernels; see fishbone.export.counts."""
    found = count(proto)
    return found.weights, found.nonzero


def _counts(proto: ModelProto) -> dict[str, Any]:
    """The fields that may be null, and why they are."""
    found = asdict(count(proto))
    try:
        parameters, reason = count_parameters(proto), None
    except UnknownCountError as error:
        parameters, reason = None, str(error)
    reasons = dict.fromkeys(filter(None, (found["unknown"], reason)))
    return found | {"parameters": parameters, "unknown": "; ".join(reasons) or None}


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
