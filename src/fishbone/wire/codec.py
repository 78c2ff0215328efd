"""An envelope as one safetensors frame, and back; whatever the bytes are, the answer is a message or a `LinkError`.

The frame's metadata holds kind, sender, receiver, number and the message's values as JSON; its tensors are the
message's. Nothing is unpickled. Lengths are checked before anything is parsed, and the header, which says how large
each tensor is, before any tensor is made (safetensors refuses a header whose offsets are not those of its shapes).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import safetensors.torch
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from torch import Tensor

from fishbone.wire.errors import Malformed, TooLarge
from fishbone.wire.message import Envelope, Message, layout

PREFIX = 8  # bytes of the header's length, little-endian


@dataclass(frozen=True)
class Limits:
    """Most bytes of a frame and of its header, and most tensors in it."""

    frame: int = 256 * 2**20
    header: int = 2**20
    tensors: int = 4096


DEFAULT_LIMITS = Limits()


def encode(envelope: Envelope) -> bytes:
    """The frame."""
    message = envelope.message
    adapters = _adapters(type(message))
    values = {name: adapters[name].dump_python(value, mode="json") for name, value in message.values().items()}
    about = {"sender": envelope.sender, "receiver": envelope.receiver, "number": envelope.number}
    metadata = {"kind": message.kind, "envelope": json.dumps(about), "values": json.dumps(values)}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in message.tensors()}
    return safetensors.torch.save(tensors, metadata)


def decode(frame: bytes, kinds: Mapping[str, type[Message]], limits: Limits = DEFAULT_LIMITS) -> Envelope:
    """The envelope of a frame.

    Args:
        frame: as it came.
        kinds: the messages that there are.
        limits: checked first.

    Raises:
        TooLarge: a limit is exceeded.
        Malformed: it is no message of these kinds.
    """
    if len(frame) > limits.frame:
        raise TooLarge(f"a frame of {len(frame)} bytes; at most {limits.frame} are taken")
    metadata = _metadata(frame, limits)
    try:
        message = kinds[metadata["kind"]]
        about = json.loads(metadata["envelope"])
        sender, receiver, number = about["sender"], about["receiver"], about["number"]
        if not (isinstance(sender, str) and isinstance(receiver, str) and type(number) is int):
            raise TypeError("the envelope is not two addresses and a number")
        values = _values(message, json.loads(metadata["values"]))
        return Envelope(sender, receiver, number, message.of(safetensors.torch.load(frame), values))
    except (KeyError, TypeError, ValueError, RecursionError, ValidationError, SafetensorError) as error:
        raise Malformed(f"a frame that is no message: {type(error).__name__}: {error}") from None


def copied(message: Message) -> Message:
    """The message with tensors of its own, contiguous and without a graph: as `decode` of `encode` would give it."""
    tensors = {
        name: torch.clone(tensor.detach(), memory_format=torch.contiguous_format) for name, tensor in message.tensors()
    }
    return type(message).of(tensors, message.values())


def _metadata(frame: bytes, limits: Limits) -> dict[str, str]:
    length = int.from_bytes(frame[:PREFIX], "little")
    if length > limits.header:
        raise TooLarge(f"a header of {length} bytes; at most {limits.header} are taken")
    try:
        header = json.loads(frame[PREFIX : PREFIX + length])
        if len(header) - 1 > limits.tensors:
            raise TooLarge(f"{len(header) - 1} tensors; at most {limits.tensors} are taken")
        return header["__metadata__"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise Malformed(f"a frame without a header: {type(error).__name__}: {error}") from None


def _values(message: type[Message], found: dict[str, Any]) -> dict[str, Any]:
    adapters = _adapters(message)
    if found.keys() != adapters.keys():
        raise ValueError(f"values {sorted(found)} for {sorted(adapters)}")
    return {name: adapters[name].validate_json(json.dumps(value), strict=True) for name, value in found.items()}


@cache
def _adapters(message: type[Message]) -> dict[str, TypeAdapter]:
    hints = {name: hint for name, hint in _hints(message).items() if layout(message).get(name) == "value"}
    return {name: TypeAdapter(hint) for name, hint in hints.items()}


def _hints(message: type[Message]) -> dict[str, Any]:
    import typing

    return typing.get_type_hints(message)


def finite(tensors: Mapping[str, Tensor]) -> bool:
    """Whether every number in the tensors is finite."""
    return all(bool(tensor.isfinite().all()) for tensor in tensors.values())
