"""A device's raw measurement → the result that people and the report read."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from fishbone.bench import timing
from fishbone.bench.devices.outcome import Outcome
from fishbone.bench.results import (
    Accuracy,
    Blocks,
    DeviceResult,
    Interval,
    Latency,
    ModelMeasurement,
    ModelResult,
    Rounds,
    Score,
    Status,
)
from fishbone.bench.task import Task
from fishbone.export.origin import Origin
from fishbone.export.parity import same
from fishbone.export.processor import SATURATES, lacks_vnni
from fishbone.export.schema import FileFacts
from fishbone.seeding import numpy_generator


def summarise(
    device: str, kind: str, outcome: Outcome, task: Task, facts: Sequence[FileFacts], data_sha256: str | None
) -> DeviceResult:
    """Percentiles, intervals and verdicts of fishbone.bench.timing. A device that failed gives a result as well.

    Args:
        device: the name that people gave it.
        kind: how it is reached, such as ``local`` or ``ssh``.
        outcome: what came of running the agent there.
        task: what the agent was told.
        facts: of the task's ONNX files, in their order.
        data_sha256: of the data set behind accuracy; None: random inputs.
    """
    raw = outcome.measurement
    models = raw.models if raw else [_nothing(model["name"], outcome) for model in task.models]
    rounds = [timing.block_medians(model.blocks_ns) for model in models]
    control_rounds = timing.block_medians(raw.control_blocks_ns) if raw else []
    speedups = [None if i == task.baseline else _interval(rounds[task.baseline], r, task) for i, r in enumerate(rounds)]
    control = _interval(rounds[task.baseline], control_rounds, task)
    contention = raw.contention if raw else None
    predicted = _predictions(models, task, facts)
    sustained = raw.sustained if raw else []
    lacking = raw is not None and lacks_vnni(raw.environment.machine, raw.environment.cpu_flags)
    drift = timing.drift([window.median_ns for window in sustained])
    disturbances = timing.disturbances(
        contention.wall_over_cpu if contention else None,
        contention.cpu_pressure if contention else None,
        drift,
        sum(window.throttle_events or 0 for window in sustained),
    )
    return DeviceResult(
        schema_version=2,
        device=device,
        kind=kind,
        status=outcome.status,
        message=outcome.message,
        complete=raw is not None and raw.complete,
        baseline=models[task.baseline].name,
        data_sha256=data_sha256,
        procedure=asdict(task.procedure),
        agent_sha256=raw.agent_sha256 if raw else None,
        environment=raw.environment if raw else None,
        limits=outcome.limits,
        session=raw.session if raw else None,
        contention=contention,
        noisy=bool(disturbances),
        disturbances=disturbances,
        control_rounds_ns=control_rounds,
        control=control,
        noise_floor=max(abs(control.low - 1), abs(control.high - 1)) if control else None,
        sustained=sustained,
        drift=drift,
        models=[
            _model(
                model,
                entry,
                facts[entry["vectors"]],
                task.origins[entry["vectors"]],
                rounds[i],
                speedups[i],
                predicted[i],
                lacking,
            )
            for i, (model, entry) in enumerate(zip(models, task.models, strict=True))
        ],
    )


def _predictions(models: Sequence[ModelMeasurement], task: Task, facts: Sequence[FileFacts]) -> list[float | None]:
    """Nanoseconds of each sparse model, as the *other* ones on this device have it (`timing.predict`)."""
    macs = [facts[entry["vectors"]].sparse_macs if entry["runtime"] == "sparse" else None for entry in task.models]
    taken = [latency.p50_ns if (latency := _latency(model.blocks_ns)) else None for model in models]
    known = {i: (m, t) for i, (m, t) in enumerate(zip(macs, taken, strict=True)) if m and t}
    others = [[pair for j, pair in known.items() if j != i] for i in range(len(models))]
    return [timing.predict(others[i], known[i][0]) if i in known and others[i] else None for i in range(len(models))]


def flat(result: DeviceResult) -> dict[str, float]:
    """What was measured, ``MODEL/quantity`` → number: milliseconds, fractions, bytes, times the baseline's speed."""
    found = {"noise_floor": result.noise_floor, "noisy": int(result.noisy)}
    for model in result.models:
        latency, peaks = model.latency, [run.peak_rss_bytes for run in model.cold if run.peak_rss_bytes]
        quantities: dict[str, float | None] = {
            "ok": int(model.status == "ok"),
            "accuracy": model.accuracy.fraction if model.accuracy else None,
            "p50_ms": latency.p50_ns / 1e6 if latency else None,
            "predicted_ms": model.predicted_ns and model.predicted_ns / 1e6,
            "p90_ms": latency.p90_ns / 1e6 if latency else None,
            "speedup": _speedup(model, result),
            "peak_rss_bytes": float(np.median(peaks)) if peaks else None,
            "bytes": model.facts.bytes,
            "zstd_bytes": model.facts.zstd_bytes,
        }
        found |= {f"{model.name}/{name}": value for name, value in quantities.items()}
    return {name: value for name, value in found.items() if value is not None}


def _speedup(model: ModelResult, result: DeviceResult) -> float | None:
    if model.name == result.baseline and model.latency:
        return 1.0
    return model.speedup.median if model.speedup else None


def _model(
    raw: ModelMeasurement,
    entry: dict[str, Any],
    facts: FileFacts,
    made: Origin,
    rounds: Rounds,
    speedup: Interval | None,
    predicted: float | None,
    lacking: bool,
) -> ModelResult:
    status, message = _verdict(raw, entry, facts)
    notes = [entry["reason"]] if raw.accuracy and entry["reason"] and message != entry["reason"] else []
    notes += [SATURATES] if raw.blocks_ns and entry["may_saturate"] and lacking else []
    return ModelResult(
        **{key: getattr(raw, key) for key in ("name", "cold", "parity", "operators")},
        status=status,
        message=message,
        notes=notes,
        **asdict(made),
        runtime=entry["runtime"],
        facts=facts,
        accuracy=_accuracy(raw.accuracy) if raw.accuracy and entry["answer"] else None,
        latency=_latency(raw.blocks_ns),
        rounds_ns=rounds,
        speedup=speedup,
        predicted_ns=predicted,
    )


def _verdict(raw: ModelMeasurement, entry: dict[str, Any], facts: FileFacts) -> tuple[Status, str | None]:
    """What the device said, else the first that holds: not timed, other outputs than the host's, images without an
    answer, accuracy's status."""
    if raw.status != "ok":
        return raw.status, raw.message
    if not raw.blocks_ns:
        return "not_measured", "the budget ended before its turn"
    if raw.parity is None:
        return "garbage_output", "was timed and tells nothing of its outputs"
    # int8 differs from the host's reference, which computes in float, by design: its accuracy is what counts.
    if not facts.quantised and not same(raw.parity.relative, raw.parity.agreement):
        return "parity_fail", f"computes other outputs here: {raw.parity.relative:.1e} of the largest"
    if raw.accuracy and entry["answer"] and (missing := raw.accuracy.unanswered):
        what = "scores are not finite" if entry["answer"] == "scores" else "label is no class"
        return "no_answer", f"its {what} for {missing} of {raw.accuracy.images} images, which count as wrong"
    return entry["status"], entry["reason"]


def _accuracy(score: Score) -> Accuracy:
    low, high = timing.wilson(score.correct, score.images)
    return Accuracy(**score.model_dump(), fraction=score.correct / score.images, low=low, high=high)


def _nothing(name: str, outcome: Outcome) -> ModelMeasurement:
    unknown = dict.fromkeys(("parity", "accuracy", "operators"))
    return ModelMeasurement(name=name, status=outcome.status, message=outcome.message, cold=[], blocks_ns=[], **unknown)


def _latency(blocks: Blocks) -> Latency | None:
    samples = [run for sitting in blocks for block in sitting for run in block]
    if not samples:
        return None
    p50, p90 = np.quantile(samples, (0.5, 0.9))
    return Latency(
        samples=len(samples),
        rounds=sum(map(len, blocks)),
        min_ns=min(samples),
        p50_ns=float(p50),
        p90_ns=float(p90),
        p90_bound_ns=timing.p90_bound(samples),
    )


def _interval(baseline: Rounds, rounds: Rounds, task: Task) -> Interval | None:
    """How many times faster than the baseline."""
    found = timing.speedup(baseline, rounds, numpy_generator(task.procedure.seed, "bootstrap"))
    return found and Interval(median=found[0], low=found[1], high=found[2])
