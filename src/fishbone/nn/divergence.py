"""Training that has diverged is stopped at once: nothing that comes of it is of use to anybody."""

import math

from fishbone.errors import InputError


def require_finite(value: float, what: str, place: str) -> None:
    """Let finite numbers pass.

    Args:
        value: a loss, or a weight.
        what: what it is.
        place: where training has got to, such as ``epoch 1, step 3``.

    Raises:
        InputError: it is NaN or infinite.
    """
    if not math.isfinite(value):
        problem = f"training diverged in {place}: {what} is {value}"
        raise InputError(problem, field="learning_rate", remedy="Lower it.")
