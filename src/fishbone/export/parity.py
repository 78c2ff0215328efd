"""When two computations of one network count as the same: PyTorch and the file, the file here and on a device."""

from dataclasses import dataclass

# Of float32 outputs. Relative to each single output would be wrong: some are close to 0.
MAX_RELATIVE, MIN_AGREEMENT = 1e-4, 0.999


@dataclass(frozen=True)
class Parity:
    """PyTorch against ONNX Runtime on ``images`` images and three synthetic inputs.

    ``max_abs`` is the largest difference of a logit on the images, ``agreement`` the fraction of them with the same
    top class; ``relative`` is the largest difference over the largest logit, the worst of images and synthetic inputs.
    """

    images: int
    max_abs: float
    relative: float
    agreement: float


def same(relative: float, agreement: float) -> bool:
    """Whether outputs differ by no more than rounding.

    Args:
        relative: the largest difference over the largest output in magnitude; NaN is no agreement.
        agreement: fraction of inputs for which both name the same top class.

    Examples:
        >>> same(2e-7, 1.0), same(2e-7, 0.99), same(float("nan"), 1.0)
        (True, False, False)
    """
    return relative <= MAX_RELATIVE and agreement >= MIN_AGREEMENT
