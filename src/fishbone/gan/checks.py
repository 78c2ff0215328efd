"""What the server checks of a user's answers, so that nothing that one of them sends spoils what the others share."""

import math
from collections.abc import Mapping

from torch import Tensor

from fishbone.errors import Malformed, Rejected
from fishbone.gan.messages import Feedback
from fishbone.split.messages import Begun, Update
from fishbone.wire.checks import difference
from fishbone.wire.message import Message


def begun(answer: Message, round_: int, base: int) -> bool:
    """Whether the answer to `Begin` says that the device goes on from ``base``; else it has lost that and is afresh.

    Raises:
        Malformed: it is no such answer.
    """
    if not isinstance(answer, Begun) or answer.round != round_ or answer.base not in (base, 0):
        raise Malformed(f"{answer.kind} is no answer to the beginning of round {round_}")
    return answer.base == base


def feedback(answer: Message, step: int, images: Tensor) -> Feedback:
    """The answer to `Generated` with these images (b, C, H, W).

    Raises:
        Malformed: it is not of this step.
        Rejected: its gradient has another shape or type, or it or a loss is not finite.
    """
    if not isinstance(answer, Feedback) or answer.step != step:
        raise Malformed(f"{answer.kind} is no feedback on step {step}")
    if problem := difference({"gradient": answer.gradient}, {"gradient": images}):
        raise Rejected(f"feedback on step {step}: {problem}")
    if not math.isfinite(answer.discriminator_loss + answer.generator_loss):
        raise Rejected(f"feedback on step {step}: a loss is not finite")
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
    if problem := difference(answer.weights, sent):
        raise Rejected(f"weights: {problem}")
    return answer.weights
