"""The table of a benchmark, a row a model and device, and what a person should know of each device's numbers."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from fishbone.report.intervals import Interval
from fishbone.report.labels import Named, row_label
from fishbone.report.study import ResultFile, Study
from fishbone.report.tables import Column, Doubtful, Table, Value

BENCH = (
    Column("dataset", "data", "text"),
    Column("device", "device", "text"),
    Column("model", "network", "name"),
    Column("accuracy", "accuracy", "percent"),
    Column("p50_ms", "median time", "ms"),
    Column("predicted_ms", "predicted from sparse MACs", "ms"),
    Column("p90_ms", "90th percentile", "ms"),
    Column("speedup", "speed-up over baseline", "times"),
    Column("cold_ms", "load and first run", "ms"),
    Column("peak_bytes", "peak memory", "bytes"),
    Column("zstd_bytes", "compressed file", "bytes"),
    Column("status", "status", "text"),
)


def bench_table(study: Study) -> Table:
    """The table of a study's benchmarks."""
    return results_table(study.of("bench"))


def results_table(results: Sequence[ResultFile]) -> Table:
    """The table of benchmarks of any origin, a row a model and device.

    Args:
        results: what devices measured, one file a device and data set.
    """
    rows = [_bench_row(result, model) for result in results for model in result.content["models"]]
    rows += [
        {"dataset": result.dataset, "device": result.name, "model": "all", "status": result.content["status"]}
        for result in results
        if not result.content["models"]
    ]
    return Table(BENCH, rows).filled()


def _bench_row(result: ResultFile, model: Mapping[str, Any]) -> dict[str, Value]:
    latency, speedup = model["latency"], model["speedup"]
    cold = [run["load_ns"] + run["first_run_ns"] for run in model["cold"]]
    peaks = [run["peak_rss_bytes"] for run in model["cold"] if run["peak_rss_bytes"]]
    return {
        "dataset": result.dataset,
        "device": result.name,
        "model": Named(model["name"], row_label(model)),
        "accuracy": _accuracy(model),
        "p50_ms": latency and latency["p50_ns"] / 1e6,
        "predicted_ms": model["predicted_ns"] and model["predicted_ns"] / 1e6,
        "p90_ms": latency and latency["p90_ns"] / 1e6,
        "speedup": speedup and Interval(speedup["median"], speedup["low"], speedup["high"], latency["rounds"]),
        "cold_ms": median(cold) / 1e6 if cold else None,
        "peak_bytes": median(peaks) if peaks else None,
        "zstd_bytes": model["facts"]["zstd_bytes"],
        "status": model["status"],
    }


def doubt(model: Mapping[str, Any]) -> str | None:
    """Why a model's accuracy is none to compare with others, in a word; None where it is.

    Args:
        model: a row of a benchmark.
    """
    known = {"assumed": "assumed", "no_answer": "images without an answer", "parity_fail": "other outputs"}
    return known.get(model["status"])


def _accuracy(model: Mapping[str, Any]) -> Interval | None:
    if (score := model["accuracy"]) is None:
        return None
    found, why = (score["fraction"], score["low"], score["high"], score["images"]), doubt(model)
    return Doubtful(*found, why) if why else Interval(*found)


def bench_notes(result: ResultFile) -> Iterator[str]:
    """Sentences on a device: how it was measured, what failed, and signs of neighbours.

    Args:
        result: what the device measured.
    """
    content, place = result.content, f"{result.name}, {result.dataset}"
    if machine := content["environment"]:
        threads = content["procedure"]["threads"]
        cpu = machine["cpu"] or machine["machine"]
        yield f"{place}: ONNX Runtime {machine['onnxruntime']}, {threads} thread{'s' * (threads > 1)}, {cpu}, batch 1."
    if content["message"]:
        yield f"{place}: {content['status']}: {content['message']}."
    for model in content["models"]:
        if model["message"] and model["message"] != content["message"]:
            yield f"{place}, {model['name']}: {model['status']}: {model['message']}."
        yield from (f"{place}, {model['name']}: {note}." for note in model["notes"])
    if content["noisy"]:
        yield f"{place}: noisy ({'; '.join(content['disturbances'])}), so absolute times are upper limits."
