"""Statistics of latency samples: what a device's raw nanoseconds allow one to say.

Samples come in sittings, each with models loaded anew, of rounds that hold one block of repeated runs of every model
(fishbone.bench.agent).

- *p90 bound*: an upper bound of the 90th percentile at 99 % confidence from order statistics, as MLPerf Inference's
  early stopping (inference_policies, "Early stopping", d = 0): with t the largest count for which
  P[Binomial(n, 0.1) ≤ t] ≤ 0.01, the t−1 slowest of n runs are dropped and the next is reported. It needs n ≥ 64.
- *speed-up*: the ratio of the two models' block medians within a round, so that what slows a whole round cancels;
  the median over rounds, with a 95 % percentile interval by bootstrap over sittings (blocks), as the rounds of a
  sitting share the sessions' place in memory and the neighbours of the moment (simulated: 16 sittings cover 93 %).
- *drift*: of a run without rest, the median time of the last quarter of its windows over that of the first, less 1;
  more than 10 % is throttling, or a neighbour.
- *predicted time*: sparse multiply-accumulates at the rate that other models reach, plus what every run costs besides,
  both by least squares; where models do not tell the two apart, the median rate alone.
- *accuracy*: Wilson's 95 % score interval.
"""

import math
from collections.abc import Sequence

import numpy as np

PERCENTILE, CONFIDENCE = 0.9, 0.99
RESAMPLES = 2000
MIN_SITTINGS = 8
Z95 = 1.959963984540054
MAX_WALL_OVER_CPU = 1.1
MAX_CPU_PRESSURE = 0.1
MAX_DRIFT = 0.1
Rounds = Sequence[Sequence[float]]


def p90_bound(samples: Sequence[float]) -> float | None:
    """Upper bound of the 90th percentile at 99 % confidence; None for fewer than 64 samples."""
    n = len(samples)
    tail, cumulative, dropped = 1 - PERCENTILE, 0.0, -1
    while dropped < n:
        k = dropped + 1
        choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        cumulative += math.exp(choose + k * math.log(tail) + (n - k) * math.log(PERCENTILE))
        if cumulative > 1 - CONFIDENCE:
            break
        dropped = k
    return None if dropped < 1 else float(np.sort(samples)[n - dropped])


def block_medians(blocks: Sequence[Sequence[Sequence[int]]]) -> list[list[float]]:
    """Medians of blocks: ``[sitting][round][run]`` → ``[sitting][round]``."""
    return [[float(np.median(block)) for block in sitting] for sitting in blocks]


def speedup(baseline: Rounds, model: Rounds, generator: np.random.Generator) -> tuple[float, float, float] | None:
    """(median, low, high) of baseline over model; None for fewer than `MIN_SITTINGS` sittings.

    Rounds that only one of them finished are left out.
    """
    pairs = zip(baseline, model, strict=False)
    ratios = [
        np.divide(*zip(*zip(above, below, strict=False), strict=True)) for above, below in pairs if above and below
    ]
    if len(ratios) < MIN_SITTINGS:
        return None
    pooled, sitting = np.concatenate(ratios), np.repeat(np.arange(len(ratios)), [len(part) for part in ratios])
    order = np.argsort(pooled)
    times = generator.multinomial(len(ratios), np.full(len(ratios), 1 / len(ratios)), size=RESAMPLES)
    # The median of a resample is where half of its weight is reached along the sorted ratios.
    reached = np.cumsum(times[:, sitting[order]], axis=1)
    medians = pooled[order][np.argmax(2 * reached >= reached[:, -1:], axis=1)]
    low, high = np.quantile(medians, (0.025, 0.975))
    return float(np.median(pooled)), float(low), float(high)


def wilson(correct: int, count: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927)."""
    p, z2 = correct / count, Z95**2 / count
    centre, half = p + z2 / 2, Z95 * math.sqrt(p * (1 - p) / count + z2 / (4 * count))
    return max(0.0, (centre - half) / (1 + z2)), min(1.0, (centre + half) / (1 + z2))


def drift(medians: Sequence[float]) -> float | None:
    """How much slower a run without rest became, as a fraction; None for fewer than two windows."""
    if len(medians) < 2:
        return None
    quarter = max(1, len(medians) // 4)
    return float(np.median(medians[-quarter:]) / np.median(medians[:quarter]) - 1)


def predict(others: Sequence[tuple[float, float]], macs: float) -> float:
    """Nanoseconds of ``macs``, from (multiply-accumulates, nanoseconds) of others; see the module's docstring."""
    counts, times = map(np.asarray, zip(*others, strict=True))
    if counts.max() > 1.2 * counts.min():
        rate, besides = np.polyfit(counts, times, 1)
        if rate > 0 and besides > 0:
            return float(besides + rate * macs)
    return float(np.median(times / counts) * macs)


def disturbances(
    wall_over_cpu: float | None, cpu_pressure: float | None, slowed: float | None, throttle_events: int | None
) -> list[str]:
    """Reasons to call a measurement noisy; what a device cannot tell is no reason."""
    found = []
    if wall_over_cpu is not None and wall_over_cpu > MAX_WALL_OVER_CPU:
        found.append(f"wall time was {wall_over_cpu:.2f} times the CPU time")
    if cpu_pressure is not None and cpu_pressure > MAX_CPU_PRESSURE:
        found.append(f"tasks waited for a CPU {cpu_pressure:.0%} of the time")
    if slowed is not None and slowed > MAX_DRIFT:
        found.append(f"without rest the baseline became {slowed:.0%} slower")
    if throttle_events:
        found.append(f"the processor slowed itself for its heat {throttle_events} times")
    return found
