"""What the server checks of a user's answers, so that nothing that one of them sends spoils what the others share."""

import math
from collections.abc import Mapping

from torch import Tensor

from fishbone.errors import Malformed, Rejected
from fishbone.gan.messages import Feedback
from fishbone.split.messages import Begun, Update
from fishbone.split.segment import fits
from fishbone.wire.message import Message


def begun(answer: Message, round_: int) -> None:
    """Let the answer to `Begin` pass.

    Raises:
        Malformed: it is another one.
    """
    if not isinstance(answer, Begun) or answer.round != round_:
        raise Malformed(f"{answer.kind} is no answer to the beginning of round {round_}")


def feedback(answer: Message, step: int, images: Tensor) -> Feedback:
    """The answer to `Generated` with these images (b, C, H, W).

    Raises:
        Malformed: it is not of this step.
        Rejected: its gradient has another shape or type, or it or a loss is not finite.
    """
    if not isinstance(answer, Feedback) or answer.step != step:
        raise Malformed(f"{answer.kind} is no feedback on step {step}")
    if not fits(answer.gradient, images):
        raise Rejected(f"a gradient {_form(answer.gradient)} for images {_form(images)}")
    if not (math.isfinite(answer.discriminator_loss + answer.generator_loss) and _finite(answer.gradient)):
        raise Rejected(f"feedback on step {step} is not finite")
    return answer


def update(answer: Message, round_: int, sent: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights in the answer to `Finish`.

    Args:
        answer: the message that came.
        round_: that was to be finished.
        sent: the weights that the party began with.

    Raises:
        Malformed: it is not of this round.
        Rejected: names, shapes or types are not those that were sent, or a number is not finite.
    """
    if not isinstance(answer, Update) or answer.round != round_:
        raise Malformed(f"{answer.kind} is no answer to the end of round {round_}")
    if answer.weights.keys() != sent.keys():
        raise Rejected(f"weights {sorted(answer.weights)} for {sorted(sent)}")
    for name, value in answer.weights.items():
        if not fits(value, sent[name]):
            raise Rejected(f"{name} {_form(value)} for {_form(sent[name])}")
        if not _finite(value):
            raise Rejected(f"{name} is not finite")
    return answer.weights


def _finite(values: Tensor) -> bool:
    return bool(values.isfinite().all())


def _form(values: Tensor) -> str:
    return f"{tuple(values.shape)} {values.dtype}"
