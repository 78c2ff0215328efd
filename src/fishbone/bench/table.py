"""A benchmark result as a table for people, with what is noise in it.

Names of devices and models are `Text`: as strings rich would take ``[int8]`` for markup and ``:x:`` for a picture.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from fishbone.bench.results import DeviceResult, Environment, ModelResult, Operator
from fishbone.export.operators import IN_8_BITS

RIGHT = (
    "accuracy [95 %]",
    "p50 ms",
    "p90 ≤ ms",
    "speed-up [95 %]",
    "cold ms",
    "peak MB",
    "kB",
    "zstd kB",
    "zeros",
    "int8",
)


def table(result: DeviceResult) -> Table:
    """One row a model; a dash is "not measured"."""
    title = Text(f"{result.device} ({result.kind})", style="table.title")
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    shown.add_column("model", overflow="fold")
    for name in RIGHT:
        shown.add_column(name, justify="right", overflow="fold")
    shown.add_column("status")
    for model in result.models:
        shown.add_row(Text(model.name), *_cells(model, result), model.status)
    return shown


def together(results: Sequence[DeviceResult]) -> Table:
    """One row a model, one column a device: accuracy, median time, speed-up on that device."""
    shown = Table(title="all devices", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    shown.add_column("model", overflow="fold")
    rows: dict[str, dict[str, str]] = {}
    for result in results:
        shown.add_column(Text(f"{result.device} ({result.kind})"), justify="right", overflow="fold")
        for model in result.models:
            rows.setdefault(model.name, {})[result.device] = _brief(model, result)
    for name, cells in rows.items():
        shown.add_row(Text(name), *(cells.get(result.device, "–") for result in results))
    return shown


def _brief(model: ModelResult, result: DeviceResult) -> str:
    if model.latency is None:
        return model.status
    doubt = "" if model.status == "ok" else f" ({model.status})"
    accuracy = f"{model.accuracy.fraction:.1%}{doubt}, " if model.accuracy else ""
    ratio = "" if model.name == result.baseline or not model.speedup else f", {model.speedup.median:.2f}×"
    return f"{accuracy}{model.latency.p50_ns / 1e6:.3f} ms{ratio}"


def notes(result: DeviceResult) -> Iterator[str]:
    """Plain sentences: failures, what a difference has to exceed, signs of neighbours, how it was measured."""
    if result.message:
        yield f"{result.device}: {result.status}: {result.message}."
    for model in result.models:
        if model.message and model.message != result.message:
            yield f"{model.name}: {model.message}."
        yield from (f"{model.name}: {note}." for note in model.notes)
        if model.facts.unknown:
            yield f"{model.name}: parameters, weights or multiply-accumulates are not known: {model.facts.unknown}."
    if result.control:
        again = result.control
        yield (
            f"Noise: {result.baseline} against itself is {again.median:.3f}× [{again.low:.3f}, {again.high:.3f}]; "
            f"a speed-up within {result.noise_floor:.1%} of 1 (≈) is no difference."
        )
    elif result.control_rounds_ns:
        yield "Noise: too few sittings to tell; give more --sittings."
    elif result.status == "ok":
        yield f"Noise: not known, as {result.baseline}, the baseline, was not timed."
    if result.noisy:
        yield f"Noisy: {'; '.join(result.disturbances)}. Absolute times are upper limits, speed-ups are paired."
    if result.drift is not None:
        hottest = max((window.celsius or 0.0 for window in result.sustained), default=0.0)
        heat = f", at most {hottest:.0f} °C" if hottest else ""
        yield (
            f"Without rest: after {result.procedure['sustained_seconds']:g} s {result.baseline} takes "
            f"{1 + result.drift:.3f} times as long as at first{heat}."
        )
    if not result.complete and result.status == "ok":
        yield "Incomplete: the budget ended first; give more --budget-seconds."
    if any(model.predicted_ns for model in result.models):
        yield "Sparse: in brackets what sparse multiply-accumulates predict, from the other sparse models' times."
    if result.environment:
        yield _method(result, result.environment)


def _method(result: DeviceResult, machine: Environment) -> str:
    threads = result.procedure["threads"]
    runtime = [run.import_rss_bytes for model in result.models for run in model.cold if run.import_rss_bytes]
    base = f"; peak MB includes {np.median(runtime) / 1e6:.0f} of Python and ONNX Runtime" if runtime else ""
    return (
        f"ONNX Runtime {machine.onnxruntime}, {threads} thread{'s' * (threads > 1)}, {machine.cpu or machine.machine}. "
        f"Batch as the file fixes it, else 1; cold is load and first run in a fresh process{base}."
    )


def _cells(model: ModelResult, result: DeviceResult) -> Iterator[str]:
    score, latency, facts = model.accuracy, model.latency, model.facts
    yield f"{score.fraction:.1%} [{100 * score.low:.1f}, {100 * score.high:.1f}]" if score else "–"
    predicted = f" ({model.predicted_ns / 1e6:.3f})" if model.predicted_ns else ""
    yield f"{latency.p50_ns / 1e6:.3f}{predicted}" if latency else "–"
    yield f"{latency.p90_bound_ns / 1e6:.3f}" if latency and latency.p90_bound_ns else "–"
    yield _speedup(model, result)
    yield f"{np.median([run.load_ns + run.first_run_ns for run in model.cold]) / 1e6:.1f}" if model.cold else "–"
    peaks = [run.peak_rss_bytes for run in model.cold if run.peak_rss_bytes]
    yield f"{np.median(peaks) / 1e6:.1f}" if peaks else "–"
    yield f"{facts.bytes / 1e3:.0f}"
    yield f"{facts.zstd_bytes / 1e3:.0f}"
    yield f"{1 - facts.nonzero / facts.weights:.0%}" if facts.weights and facts.nonzero is not None else "–"
    yield f"{int8_share(model.operators):.0%}" if model.operators else "–"


def int8_share(operators: Sequence[Operator]) -> float:
    """Of the time after the device's optimiser: operators that compute in 8 bits (conversions are none)."""
    return sum(found.share for found in operators if IN_8_BITS.search(found.operator))


def _speedup(model: ModelResult, result: DeviceResult) -> str:
    if model.name == result.baseline:
        return "1 (baseline)"
    if (found := model.speedup) is None:
        return "–"
    floor = result.noise_floor or 0.0
    same = found.low <= 1 + floor and found.high >= 1 - floor
    return f"{'≈ ' if same else ''}{found.median:.2f}× [{found.low:.2f}, {found.high:.2f}]"
