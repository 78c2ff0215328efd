"""Means over seeds with 95 % confidence intervals: Student's t with n − 1 degrees of freedom.

    g(mean) ± t(0.975, n−1) · g'(mean) · s / √n,   s² = Σ (x − mean)² / (n − 1)

g is the scale on which a quantity has no bounds: the logit of a fraction, the logarithm of a positive number, and x
itself for all others. So no interval reaches beyond what the quantity can be, and the mean stays the arithmetic one,
also of fractions that are 0 or 1, which have no logit themselves (delta method; e.g. Agresti, Categorical Data
Analysis, §3.1). Where seeds differ little, all scales give the same interval.

Seeds are the sample: the interval says how much the result moves with partition, initial weights and order of the
data. The test images are the same for all seeds, so it says nothing about other test images.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np

from fishbone.errors import ArgumentError

T = TypeVar("T")
Bounds = tuple[float, float]  # what a quantity can be
PLAIN: Bounds = (-math.inf, math.inf)
POSITIVE: Bounds = (0.0, math.inf)
FRACTION: Bounds = (0.0, 1.0)
LOSSES = ("test_loss", "train_loss", "validation_loss", "fcd")


@dataclass(frozen=True)
class Interval:
    """The mean of ``n`` values and the ends of its 95 % interval, which are None for a single value."""

    mean: float
    low: float | None
    high: float | None
    n: int


def bounds_of(quantity: str) -> Bounds:
    """What a quantity can be.

    Args:
        quantity: a key of ``metrics.json`` or ``cost.json``, or a column of ``history.csv``.
    """
    if "accuracy" in quantity or quantity == "class_tv":
        return FRACTION
    return POSITIVE if quantity.startswith(LOSSES) or quantity == "seconds" else PLAIN


def interval(values: Sequence[float], bounds: Bounds = PLAIN) -> Interval:
    """The mean of values with its 95 % interval.

    Args:
        values: at least one, a seed each.
        bounds: what the quantity can be; the lower or both may be finite.

    Raises:
        ArgumentError: no value, or one that is not finite or out of bounds.
    """
    n = len(values)
    if n == 0 or not all(math.isfinite(value) and bounds[0] <= value <= bounds[1] for value in values):
        raise ArgumentError(f"cannot average {list(values)} within {bounds}")
    mean = math.fsum(values) / n
    if n == 1:
        return Interval(mean, None, None, n)
    half = t_quantile(n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Interval(mean, *_ends(mean, half, bounds), n)


def _ends(mean: float, half: float, bounds: Bounds) -> Bounds:
    """Ends of the interval whose half width near the mean is ``half``, symmetric on the scale of ``bounds``."""
    low, high = bounds
    if bounds == PLAIN:
        return mean - half, mean + half
    below, above = mean - low, high - mean
    if not (half and below and above):
        return mean, mean  # all values are the same, up to rounding
    if above == math.inf:
        factor = math.exp(half / below)
        return low + below / factor, low + below * factor
    width = high - low
    factor = math.exp(-half * width / (below * above))  # of the odds
    ends = low + width * below * factor / (below * factor + above), low + width * below / (below + above * factor)
    return max(low, min(ends[0], mean)), min(high, max(ends[1], mean))


def clipped(found: Interval, bounds: Bounds) -> Interval:
    """An interval whose ends lie within bounds; for a difference, which has no scale without bounds.

    Args:
        found: the interval of the difference.
        bounds: what the difference can be.
    """
    if found.low is None or found.high is None:
        return found
    return Interval(found.mean, max(found.low, bounds[0]), min(found.high, bounds[1]), found.n)


def band(curves: Sequence[np.ndarray], bounds: Bounds = PLAIN) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The 95 % interval of curves, point by point.

    Args:
        curves: one (T,) a seed.
        bounds: what their quantity can be.

    Returns:
        Mean, lower ends and upper ends, each (T,); the ends of a single curve are NaN.
    """
    points = [interval(values, bounds) for values in np.stack(curves).T.tolist()]
    columns = [[getattr(point, name) for point in points] for name in ("mean", "low", "high")]
    mean, low, high = (np.array(column, dtype=float) for column in columns)
    return mean, low, high


def paired(first: Mapping[int, T], second: Mapping[int, T], difference: Callable[[T, T], float]) -> dict[int, float]:
    """What two methods differ by, for each seed that both have.

    Args:
        first: seed → result of one method.
        second: seed → result of the other.
        difference: of two results, the first method's first.
    """
    return {seed: difference(first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())}


@cache
def t_quantile(degrees: int) -> float:
    """97.5 % quantile of Student's t."""
    from scipy.stats import t  # here, as it takes seconds, and `fishbone claims` prints intervals that are there

    return float(t.ppf(0.975, degrees))
