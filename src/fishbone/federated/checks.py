"""Whether a message answers what was asked; whoever answers may be mistaken, late or malicious."""

import math

from torch import Tensor

from fishbone.federated.messages import Begin, Diverged, NotFinite, Train, Update, What
from fishbone.wire.checks import alike


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
