"""An envelope as one safetensors frame, and back; whatever the bytes are, the answer is a message or a `LinkError`.

The frame's metadata holds one JSON text: kind, sender, receiver, number, the names of the tensors in their order (which
safetensors does not keep) and the message's values. Its tensors are the message's. Nothing is unpickled. Lengths are
checked before anything is parsed, and what the header says of each tensor before any is made; safetensors refuses
a header whose offsets are not those of its shapes. A frame that `encode` would not write, such as one with keys twice
or more than there are, is refused. Numbers may be NaN or infinite: that is for the receiver to judge.
"""

import copy
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

import safetensors.torch
import torch
from pydantic import JsonValue, NonNegativeInt, TypeAdapter
from safetensors import SafetensorError
from torch import Tensor

from fishbone.errors import Malformed, TooLarge
from fishbone.wire.errors import line
from fishbone.wire.message import Envelope, Message, layout, per_class

PREFIX = 8  # bytes of the header's length, little-endian

DTYPES: Mapping[str, torch.dtype] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
"""All that a tensor of a message can be, by safetensors' names."""


@dataclass(frozen=True)
class Limits:
    """What a receiver takes at most: bytes of a frame and of its header, tensors in it, dimensions of a tensor."""

    frame: int = 256 * 2**20
    header: int = 2**20
    tensors: int = 4096
    dims: int = 8


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class _Head:
    kind: str
    sender: str
    receiver: str
    number: NonNegativeInt
    tensors: list[str]
    values: dict[str, JsonValue]


_HEAD = TypeAdapter(_Head)


def encode(envelope: Envelope) -> bytes:
    """The frame.

    Examples:
        >>> @dataclass(frozen=True, eq=False)
        ... class Reading(Message):
        ...     kind = "reading"
        ...     unit: str
        ...     values: Tensor
        >>> frame = encode(Envelope("a", "b", 7, Reading("mV", torch.tensor([1.5, 2.0]))))
        >>> envelope = decode(frame, {"reading": Reading})
        >>> envelope.number, envelope.message.unit, envelope.message.values
        (7, 'mV', tensor([1.5000, 2.0000]))
        >>> decode(frame[:-1], {"reading": Reading})
        Traceback (most recent call last):
        fishbone.errors.Malformed: a frame that is no message: ...

    Raises:
        TypeError: a tensor is none, is not dense, or is of no type in `DTYPES`.
        ValueError: a value is not what the message's class says.
    """
    return safetensors.torch.save(_own(envelope.message), {"envelope": _head(envelope)})


def decode(frame: bytes, kinds: Mapping[str, type[Message]], limits: Limits = DEFAULT_LIMITS) -> Envelope:
    """The envelope of a frame.

    Args:
        frame: the bytes as they came.
        kinds: the messages that there are, by kind.
        limits: what is taken at most; checked before anything is made.

    Raises:
        TooLarge: a limit is exceeded.
        Malformed: it is no message of these kinds.
    """
    if len(frame) > limits.frame:
        raise TooLarge(f"a frame of {len(frame)} bytes; at most {limits.frame} are taken")
    length = int.from_bytes(frame[:PREFIX], "little")
    if length > limits.header:
        raise TooLarge(f"a header of {length} bytes; at most {limits.header} are taken")
    try:
        text = _checked_header(frame[PREFIX : PREFIX + length], limits)
        head = _HEAD.validate_json(text, strict=True)
        message = kinds[head.kind]
        content = message.of(_tensors(frame, head.tensors), _values(message, head.values))
        envelope = Envelope(head.sender, head.receiver, head.number, content)
        if _head(envelope) != text:
            raise ValueError("its text is not the one that belongs to its message")
    except (KeyError, TypeError, ValueError, RecursionError, SafetensorError) as error:
        raise Malformed(f"a frame that is no message: {type(error).__name__}: {line(error)}") from None
    return envelope


def copied(message: Message) -> Message:
    """A message that passes `check` as its receiver may have it: all that can be changed is its own."""
    values = {name: value if _is_immutable(value) else copy.deepcopy(value) for name, value in message.plain().items()}
    return type(message).of(_own(message), values)


def check(message: Message) -> None:
    """Find out whether a message can be sent, at no copy.

    Raises:
        TypeError: as `encode`, or it is no message at all.
        ValueError: as `encode`.
    """
    if not isinstance(message, Message):
        raise TypeError(f"{type(message).__name__} is no message")
    for _ in _sendable(message):
        pass
    _written(message)


def _is_immutable(value: object) -> bool:
    # What is frozen all the way down, as most values of messages are, has a hash; a dict somewhere inside has none.
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _sendable(message: Message) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in message.tensors():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{message.kind}: {name} is {type(tensor).__name__}, not a tensor")
        if tensor.dtype not in DTYPES.values() or tensor.layout is not torch.strided:
            raise TypeError(f"{message.kind}: {name} is {tensor.dtype}, {tensor.layout}; sent are dense {list(DTYPES)}")
        yield name, tensor


def _own(message: Message) -> dict[str, Tensor]:
    # Always a copy: safetensors takes no two tensors that share memory.
    return {
        name: torch.clone(tensor.detach().cpu(), memory_format=torch.contiguous_format)
        for name, tensor in _sendable(message)
    }


def _written(message: Message) -> dict[str, Any]:
    adapters, plain = _adapters(type(message)), {}
    for name, value in message.plain().items():
        try:
            adapters[name].validate_python(value, strict=True)  # finds a None that was not foreseen; writing does not
            plain[name] = adapters[name].dump_python(value, mode="json", warnings="error")
        except ValueError as error:
            raise ValueError(f"{message.kind}: {name}: {line(error)}") from None
    return plain


def _head(envelope: Envelope) -> str:
    message = envelope.message
    head = {
        "kind": message.kind,
        "sender": envelope.sender,
        "receiver": envelope.receiver,
        "number": envelope.number,
        "tensors": [name for name, _ in message.tensors()],
        "values": _written(message),
    }
    return json.dumps(head)


def _checked_header(header: bytes, limits: Limits) -> str:
    match json.loads(header.decode(), object_pairs_hook=_without_repeats):
        case {"__metadata__": {"envelope": str(text)}, **tensors}:
            if len(tensors) > limits.tensors:
                raise TooLarge(f"{len(tensors)} tensors; at most {limits.tensors} are taken")
            for entry in tensors.values():
                _check_entry(entry, limits)
            return text
    raise ValueError("its header has no envelope")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("its header has a key twice")
    return found


def _check_entry(entry: object, limits: Limits) -> None:
    match entry:
        case {"dtype": str(dtype), "shape": [*shape]}:
            if dtype not in DTYPES or not all(type(size) is int and size >= 0 for size in shape):
                raise ValueError(f"a tensor of type {dtype} and shape {shape}")
            # Of a tensor without elements, too: torch multiplies the other sizes.
            if len(shape) > limits.dims or math.prod(max(size, 1) for size in shape) > limits.frame:
                raise TooLarge(f"a tensor of shape {line(shape)}")
        case _:
            raise ValueError("its header says something else than types and shapes")


def _tensors(frame: bytes, names: list[str]) -> dict[str, Tensor]:
    loaded = safetensors.torch.load(frame)
    if loaded.keys() != set(names):
        raise ValueError(f"tensors {sorted(loaded)[:9]} for {sorted(names)[:9]}")
    for name, tensor in loaded.items():
        if tensor.dtype == torch.bool and bool((tensor.view(torch.uint8) > 1).any()):
            raise ValueError(f"{name} has bytes that are neither true nor false")
    # A copy, aligned as torch's own: the matrix library's bits may depend on it.
    return {name: loaded[name].clone() for name in names}


def _values(message: type[Message], found: Mapping[str, JsonValue]) -> dict[str, Any]:
    adapters = _adapters(message)
    if found.keys() != adapters.keys():
        raise ValueError(f"values {sorted(found)[:9]} for {sorted(adapters)}")
    # From text, since strict pydantic takes a list for a tuple from JSON only.
    return {name: adapters[name].validate_json(json.dumps(value), strict=True) for name, value in found.items()}


@per_class
def _adapters(message: type[Any]) -> dict[str, TypeAdapter[Any]]:
    hints = get_type_hints(message)
    return {name: TypeAdapter(hints[name]) for name, form in layout(message).items() if form == "value"}
