"""The weighted mean of networks: float64, in the order of the owners' names, whatever the order of arrival."""

from collections.abc import Mapping
from fractions import Fraction

from torch import Tensor


def weighted_mean(parts: Mapping[str, tuple[Fraction, Mapping[str, Tensor]]]) -> dict[str, Tensor]:
    """Name → Σ share · value over the owners that have this name.

    Args:
        parts: owner → (its share, its tensors by name). Shares are taken as they are: where those of a name's owners do
            not add up to 1, it is a weighted sum.

    Returns:
        float64 tensors, which the caller rounds to the type that it wants.

    Examples:
        >>> import torch
        >>> weighted_mean({
        ...     "a": (Fraction(1, 4), {"w": torch.tensor([0.0, 4.0])}),
        ...     "b": (Fraction(3, 4), {"w": torch.tensor([4.0, 0.0])}),
        ... })
        {'w': tensor([3., 1.], dtype=torch.float64)}
    """
    mean: dict[str, Tensor] = {}
    for owner in sorted(parts):
        share, tensors = parts[owner]
        for name, value in tensors.items():
            term = value.double() * float(share)
            mean[name] = mean[name] + term if name in mean else term
    return mean
