"""Means over seeds with 95 % confidence intervals: Student's t with n − 1 degrees of freedom.

    mean ± t(0.975, n−1) · s / √n,   s² = Σ (x − mean)² / (n − 1)

Seeds are the sample: the interval says how much the result moves with partition, initial weights and order of the
data. The test images are the same for all seeds, so it says nothing about other test images.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np

T = TypeVar("T")


@dataclass(frozen=True)
class Interval:
    """``low`` and ``high`` are None for fewer than two values."""

    mean: float
    low: float | None
    high: float | None
    n: int


def interval(values: Sequence[float]) -> Interval:
    """Of at least one value.

    Raises:
        ValueError: no value, or one that is not finite.
    """
    n = len(values)
    if n == 0 or not all(map(math.isfinite, values)):
        raise ValueError(f"cannot average {list(values)}")
    mean = math.fsum(values) / n
    if n == 1:
        return Interval(mean, None, None, n)
    half = t_quantile(n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def band(curves: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Point by point (mean, low, high) of curves (T,), one a seed; NaN bounds for a single one."""
    points = [interval(values) for values in np.stack(curves).T.tolist()]
    columns = [[getattr(point, name) for point in points] for name in ("mean", "low", "high")]
    return tuple(np.array(column, dtype=float) for column in columns)


def paired(first: Mapping[int, T], second: Mapping[int, T], difference: Callable[[T, T], float]) -> dict[int, float]:
    """Seed → difference, for the seeds that both have."""
    return {seed: difference(first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())}


@cache
def t_quantile(degrees: int) -> float:
    """97.5 % quantile of Student's t."""
    from scipy.stats import t

    return float(t.ppf(0.975, degrees))
