"""PyTorch network → one ONNX file whose bytes depend on the network alone.

``torch.onnx.export`` (dynamo) folds batch norm into the convolutions and keeps pruned zeros, but writes source paths
of this machine into every node's metadata; that is removed, so the same network gives the same bytes from any folder.
Input ``image`` (batch, C, H, W) float32, normalised; output ``logits`` (batch, classes).

Normalisation stays outside the graph: the file's metadata carry mean and standard deviation. Inside it could not be
folded into the first convolution exactly (zero padding means "mean pixel" only after normalising), so it would cost
nodes and time in every comparison with other people's files, which leave preprocessing out as well.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from google.protobuf.message import Message
from onnx import ModelProto
from torch import nn

from fishbone.errors import ArgumentError
from fishbone.export.metadata import as_texts

INPUT, OUTPUT, BATCH = "image", "logits", "batch"


def to_onnx(network: nn.Module, shape: Sequence[int], opset: int) -> ModelProto:
    """Export ``network``, which must be in eval mode; ``shape`` is (C, H, W). The batch dimension stays free.

    The exporter falls back to another opset without raising; `fishbone.export.gates.check_interface` catches that.
    """
    if network.training:
        raise ArgumentError("export a network in eval mode")
    with _quiet():
        program = torch.onnx.export(
            network,
            (torch.zeros(1, *shape),),
            dynamo=True,
            opset_version=opset,
            dynamic_shapes=({0: torch.export.Dim(BATCH)},),
            input_names=[INPUT],
            output_names=[OUTPUT],
            external_data=False,
            verbose=False,
        )
    assert program is not None  # as long as it is not asked to write a file itself
    proto = program.model_proto
    _strip(proto)
    proto.producer_name, proto.producer_version = "fishbone", ""
    return proto


def with_metadata(proto: ModelProto, facts: Mapping[str, object]) -> ModelProto:
    """A copy with ``facts`` as JSON under ``fishbone.<key>``: a device reads them from the loaded session."""
    copy = ModelProto()
    copy.CopyFrom(proto)
    onnx.helper.set_model_props(copy, as_texts(facts))
    return copy


def to_bytes(proto: ModelProto) -> bytes:
    """The file's content: the same for equal models."""
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def parts(value: Any) -> Sequence[Any]:
    """What a field holds, as a sequence, whether or not it is a repeated one."""
    return [value] if isinstance(value, Message | str | bytes | int | float) else value


def _strip(message: Message) -> None:
    """Remove metadata and doc strings at every depth: the exporter keeps stack traces there."""
    for name in ("metadata_props", "doc_string"):
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in parts(value):
                _strip(part)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on torchvision, which Fishbone does not use, and on torch's own deprecations."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)
