"""How to measure: Fishbone's documented procedure, as values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Procedure:
    """The defaults are the procedure for people; a study gives its own values.

    Args:
        threads: of ONNX Runtime; one thread is pinned to one core.
        seconds: of interleaved warm rounds, for each model and the control.
        sittings: parts of that time; each loads all models anew.
        block_ms: of repeated runs of one model within a round.
        warmup_seconds: for each model, over all sittings; at least 10 runs in each.
        sustained_seconds: of the baseline alone without rest, to see whether the device slows down; 0: none.
        cold_runs: fresh processes for each model.
        images: test images for accuracy; fewer if the data set has fewer.
        budget_seconds: of wall time for the device; then it reports what it has.
        sparse: whether models with at least half of their weights zero also run in the sparse runtime.
        seed: of the rounds' order and of inputs without a data set.
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
