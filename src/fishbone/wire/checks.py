"""What a receiver asks of any message before it uses what is in it; whoever sent it may be mistaken or malicious."""

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

from fishbone.errors import Malformed
from fishbone.wire.message import Message

Kind = TypeVar("Kind", bound=Message)


def of_kind(reply: Message, kind: type[Kind], address: str) -> Kind:
    """The reply, known to be of this class.

    Args:
        reply: the message that came back.
        kind: what should have come.
        address: whom it came from, for the error.

    Raises:
        Malformed: it is another message.
    """
    if not isinstance(reply, kind):
        raise Malformed(f"{address} answered {reply.kind}, not {kind.kind}")
    return reply


def finite(tensor: Tensor) -> bool:
    """Whether no element is NaN or infinite."""
    return bool(tensor.isfinite().all())


def alike(tensors: Mapping[str, Tensor], pattern: Mapping[str, Tensor]) -> bool:
    """Whether names, shapes and types are those of ``pattern``, and all numbers are finite."""
    return difference(tensors, pattern) is None


def difference(tensors: Mapping[str, Tensor], pattern: Mapping[str, Tensor]) -> str | None:
    """What is wrong with tensors that should be `alike`, for an error; None where nothing is.

    Args:
        tensors: what came, by name.
        pattern: tensors with the names, shapes and types that should have come; their numbers do not matter.
    """
    if tensors.keys() != pattern.keys():
        return f"{sorted(tensors)[:9]} for {sorted(pattern)[:9]}"
    for name, tensor in tensors.items():
        if (tensor.shape, tensor.dtype) != (pattern[name].shape, pattern[name].dtype):
            return f"{name} {_form(tensor)} for {_form(pattern[name])}"
        if not finite(tensor):
            return f"{name} is not finite"
    return None


def _form(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {tensor.dtype}"
