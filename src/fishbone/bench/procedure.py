"""How to measure: Fishbone's documented procedure, as values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Procedure:
    """How long and how often to measure. The defaults are for people; a study gives its own values.

    Args:
        threads: how many ONNX Runtime computes with; a single one is pinned to one core.
        seconds: how long the interleaved warm rounds last, for each model and the control.
        sittings: into how many parts that time falls; each loads all models anew.
        block_ms: how long one model runs again and again within a round, in milliseconds.
        warmup_seconds: how long each model runs before it counts, over all sittings; at least 10 runs in each.
        sustained_seconds: how long the baseline alone runs without rest, to see whether the device slows down; 0: none.
        cold_runs: how many fresh processes start each model.
        images: how many test images give accuracy; fewer if the data set has fewer.
        budget_seconds: wall time for the device; then it reports what it has.
        sparse: whether models with at least half of their weights zero also run in the sparse runtime.
        seed: decides the order within rounds, and the inputs where there is no data set.
    """

    threads: int = 1
    seconds: float = 5.0
    sittings: int = 16
    block_ms: float = 10.0
    warmup_seconds: float = 1.0
    sustained_seconds: float = 0.0
    cold_runs: int = 5
    images: int = 10_000
    budget_seconds: float = 600.0
    sparse: bool = True
    seed: int = 0
