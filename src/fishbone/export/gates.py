"""What an exported file must be, checked on the file and not on good faith.

Each check raises `GateError` and says what is wrong. Parity alone is not enough: a file with masks left in computes
the right outputs at twice the size, and one with the wrong opset runs everywhere but on the device.
"""

import re
from collections.abc import Iterator, Mapping

import numpy as np
import onnx
import onnxruntime as ort
import torch
from google.protobuf.message import Message
from onnx import ModelProto
from torch import nn

from fishbone.errors import FishboneError
from fishbone.export.from_torch import BATCH, parts, to_bytes
from fishbone.export.operators import COUNTED
from fishbone.export.parity import MAX_RELATIVE, MIN_AGREEMENT, Parity, same
from fishbone.export.stored import kernels, tensors
from fishbone.seeding import numpy_generator

MAX_GROWTH = 1.05
PATH = re.compile(r"(?:^|[\s\"'=(:,])(?:[A-Za-z]:)?(?:[/\\]+[\w.+@~-]+){2,}")


class GateError(FishboneError):
    """An exported file is not what it has to be."""


def check_interface(proto: ModelProto, opset: int) -> None:
    """Valid, with the opset asked for, a free batch dimension and all weights inside."""
    onnx.checker.check_model(proto, full_check=True)
    found = {entry.domain: entry.version for entry in proto.opset_import}
    if found != {"": opset}:
        raise GateError(f"asked for opset {opset}, the exporter wrote {found}; 18 and above are exported as asked")
    for value in (*proto.graph.input, *proto.graph.output):
        if (name := value.type.tensor_type.shape.dim[0].dim_param) != BATCH:
            raise GateError(f"{value.name}: the batch dimension is {name or 'fixed'!r}, not {BATCH!r}")
    if any(onnx.external_data_helper.uses_external_data(tensor) for tensor in proto.graph.initializer):
        raise GateError("weights are kept in a second file")


def check_folded(proto: ModelProto) -> None:
    """No batch norm left, and no mask left to multiply with at run time."""
    stored = set(tensors(proto))
    for node in proto.graph.node:
        if node.op_type == "BatchNormalization":
            raise GateError(f"{node.name}: batch norm was not folded into the layer before it")
        if node.op_type == "Mul" and stored.issuperset(node.input):
            names = " and ".join(node.input)
            raise GateError(f"{node.name} multiplies {names} at run time: make the masks permanent before export")


def check_zeros(proto: ModelProto, kept: Mapping[str, np.ndarray]) -> None:
    """Weights are non-zero exactly where ``kept`` (parameter's name → bool array) says.

    Folding batch norm scales whole output channels, so it may neither fill zeros nor add some.
    """
    stored = tensors(proto)
    for name, mask in kept.items():
        if name not in stored:
            raise GateError(f"{name} is not in the graph under its own name, so its zeros cannot be checked")
        if not np.array_equal(stored[name] != 0, mask):
            counts = f"{np.count_nonzero(stored[name])} non-zero weights in the file, {np.count_nonzero(mask)} expected"
            raise GateError(f"{name}: {counts}; zeros were not kept where they were")


def check_size(proto: ModelProto, network: nn.Module) -> None:
    """Stored tensors take at most 5 % more than the dense network's parameters in float32."""
    limit = MAX_GROWTH * 4 * sum(parameter.numel() for parameter in network.parameters())
    size = sum(array.nbytes for array in tensors(proto).values())
    if size > limit:
        raise GateError(f"tensors take {size} bytes, more than {limit:.0f} for the dense network: masks or copies left")


def check_quantised(proto: ModelProto, before: ModelProto) -> None:
    """Every kernel of ``before`` is there in int8, and every zero is a zero still (rounding may add some)."""
    stored, floats = kernels(proto), kernels(before)
    names = [name for node in before.graph.node if node.op_type in COUNTED for name in node.input[1:2]]
    integers = {node.input[0] for node in proto.graph.node if node.op_type == "DequantizeLinear"}
    for name in names:
        if f"{name}_quantized" not in integers:
            raise GateError(f"{name} was left in float")
        behind = next(value for key, value in stored.items() if key.startswith(f"{name}_DequantizeLinear"))
        if np.any(behind[floats[name] == 0]):
            raise GateError(f"{name}: pruned weights are not zero any more")


def check_no_paths(proto: ModelProto) -> None:
    """No path of the exporting machine in any text of the file."""
    for text in _texts(proto):
        if found := PATH.search(text):
            raise GateError(f"the file names a path of this machine: {found[0].strip()}")


def _texts(message: Message) -> Iterator[str]:
    """Every string of a message, at any depth; tensors' bytes are no text."""
    for field, value in message.ListFields():
        for part in parts(value):
            if field.type == field.TYPE_MESSAGE:
                yield from _texts(part)
            elif field.type == field.TYPE_STRING:
                yield part
            elif field.type == field.TYPE_BYTES and field.name != "raw_data":
                yield part.decode(errors="replace")


def check_parity(proto: ModelProto, network: nn.Module, images: np.ndarray, threads: int) -> Parity:
    """Compare on ``images`` (N, C, H, W) float32, normalised; and return what was found."""
    session = _session(to_bytes(proto), threads)
    pairs = [_outputs(network, session, inputs) for inputs in (images, *_synthetic(images.shape[1:]))]
    errors = [float(np.abs(ours - theirs).max()) for ours, theirs in pairs]
    scales = [float(np.abs(ours).max()) for ours, _ in pairs]
    parity = Parity(
        images=len(images),
        max_abs=errors[0],
        relative=float(np.max(np.divide(errors, np.maximum(scales, np.finfo(np.float32).tiny)))),  # NaN where one is
        agreement=float((pairs[0][0].argmax(1) == pairs[0][1].argmax(1)).mean()),
    )
    if not same(parity.relative, parity.agreement):
        raise GateError(
            f"ONNX Runtime computes something else than PyTorch: {parity}; "
            f"allowed are {MAX_RELATIVE:g} relative and {MIN_AGREEMENT:.1%} agreement"
        )
    return parity


def _outputs(network: nn.Module, session: ort.InferenceSession, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with torch.no_grad():
        ours = network(torch.from_numpy(inputs)).numpy()
    return ours, session.run(None, {session.get_inputs()[0].name: inputs})[0]


def _synthetic(shape: tuple[int, ...]) -> list[np.ndarray]:
    """Zeros, large noise and a single bright pixel: where padding, overflow and shifted kernels show."""
    zeros, one = np.zeros((1, *shape), np.float32), np.zeros((1, *shape), np.float32)
    one[(0, 0, *(side // 2 for side in shape[1:]))] = 1
    noise = 100 * numpy_generator(0, "parity").standard_normal((1, *shape), np.float32)
    return [zeros, noise, one]


def _session(content: bytes, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
