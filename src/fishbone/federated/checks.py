"""Whether a message answers what was asked; whoever answers may be mistaken, late or malicious."""

import math
from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

from fishbone.errors import Malformed
from fishbone.federated.messages import Begin, Diverged, NotFinite, Train, Update, What
from fishbone.wire.message import Message

Kind = TypeVar("Kind", bound=Message)


def of_kind(reply: Message, kind: type[Kind], address: str) -> Kind:
    """The reply, known to be of this class.

    Args:
        reply: the message that came.
        kind: the class of the one that should have come.
        address: whom it came from, for the error.

    Raises:
        Malformed: it is another message.
    """
    if not isinstance(reply, kind):
        raise Malformed(f"{address} answered {reply.kind}, not {kind.kind}")
    return reply


def alike(tensors: Mapping[str, Tensor], pattern: Mapping[str, Tensor]) -> bool:
    """Whether names, shapes and types are those of ``pattern``, and all numbers are finite."""
    return (
        tensors.keys() == pattern.keys()
        and all(
            value.shape == pattern[name].shape and value.dtype == pattern[name].dtype for name, value in tensors.items()
        )
        and all(bool(value.isfinite().all()) for value in tensors.values())
    )


def admissible(update: Update, sent: Train | Begin) -> bool:
    """Whether an update answers what was sent: of this round, alike, and with a loss from all that see labels."""
    return (
        update.round == sent.round
        and alike(update.weights, sent.weights)
        and alike(update.beside, sent.beside)
        and (update.loss is None if isinstance(sent, Begin) else update.loss is not None and math.isfinite(update.loss))
    )


def diverged(round_: int, epoch: int | None, step: int, what: What, value: Tensor) -> Diverged | None:
    """The message that says where a value is not finite, or None if all of it is.

    Args:
        round_, epoch, step: where training is, counted as in `Diverged`.
        what: what the value is, for the message.
        value: the tensor that should be finite, of any shape.
    """
    finite = value.isfinite()
    if finite.all():
        return None
    wrong = value[~finite]
    first: NotFinite = "nan" if wrong[0].isnan() else "inf" if wrong[0] > 0 else "-inf"
    return Diverged(round_, epoch, step, what, first)
