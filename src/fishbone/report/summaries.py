"""What each stage's table holds: one row a method (or model), means over seeds with 95 % intervals.

Counts and bytes are means alone: seeds hardly move them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

from fishbone.report.intervals import Interval, bounds_of, interval
from fishbone.report.papers.fls import accuracies, cost
from fishbone.report.study import ResultFile, Study
from fishbone.report.tables import Column, Doubtful, Table, Value

DATASET = Column("dataset", "data", "text")
METHOD = Column("method", "method", "name")
SEEDS = Column("seeds", "seeds", "count")
ACCURACIES = ("test_accuracy", "test_accuracy_without_recalibration")

TRAIN = (
    Column("test_accuracy", "test accuracy", "percent"),
    Column("test_loss", "test loss (nats)"),
    Column("validation_accuracy", "validation accuracy", "percent"),
    Column("parameters", "parameters", "count"),
)
FEDERATE = (
    Column("test_accuracy", "test accuracy", "percent"),
    Column("test_loss", "test loss (nats)"),
    Column("rounds", "rounds", "count"),
    Column("horizontal_devices", "horizontal devices", "count"),
    Column("vertical_groups", "vertical groups", "count"),
    Column("training_samples", "training images", "count"),
    Column("bytes_horizontal", "horizontal traffic", "bytes"),
    Column("bytes_vertical", "vertical traffic", "bytes"),
)
GAN = (
    Column("fcd", "FCD"),
    Column("fcd_floor", "FCD of training images"),
    Column("fcd_noise", "FCD of noise"),
    Column("class_tv", "class distance (0 to 1)"),
    Column("bytes_raw_images", "raw images sent", "bytes"),
    Column("bytes_between_devices", "traffic between devices", "bytes"),
    Column("bytes_server", "traffic of the server", "bytes"),
    Column("macs_server", "MACs of the server", "count"),
    Column("macs_devices", "MACs of the devices", "count"),
)
PRUNE = (
    Column("sparsity", "sparsity", "percent"),
    Column("test_accuracy", "test accuracy", "percent"),
    Column("test_accuracy_without_recalibration", "without recalibrated batch norm", "percent"),
    Column("dense_test_accuracy", "dense test accuracy", "percent"),
    Column("seconds", "time to the highest sparsity (s)"),
    Column("peak_bytes", "peak memory", "bytes"),
    Column("backward_passes", "backward passes", "count"),
)
EXPORT = (
    DATASET,
    Column("variant", "network", "name"),
    Column("bytes", "file", "bytes"),
    Column("zstd_bytes", "compressed", "bytes"),
    Column("weights", "weights", "count"),
    Column("nonzero", "not zero", "count"),
    Column("macs", "MACs", "count"),
    Column("sparse_macs", "MACs of weights not zero", "count"),
    Column("parity_max_abs", "largest difference to PyTorch"),
)
BENCH = (
    DATASET,
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


def prune_table(study: Study) -> Table:
    """Pruned networks, a row for each data set, method and sparsity, over seeds."""
    rows = []
    for dataset, method, runs in _groups(study, "prune"):
        spent, dense = [cost(run) for run in runs], [run.content for run in runs]
        for sparsity in sorted(set().union(*map(accuracies, runs))):
            found = [_at(run, sparsity) for run in runs]
            rows.append(
                {"dataset": dataset, "method": method, "seeds": len(runs), "sparsity": sparsity}
                | {key: _over_seeds(key, found) for key in ACCURACIES}
                | {"dense_test_accuracy": _over_seeds("dense_test_accuracy", dense)}
                | {"seconds": _over_seeds("seconds", spent)}
                | {key: _mean(key, spent) for key in ("peak_bytes", "backward_passes")}
            )
    return Table((DATASET, METHOD, SEEDS, *PRUNE), rows).filled()


def _at(run: ResultFile, sparsity: float) -> dict[str, float | None]:
    """The run's accuracies at a sparsity."""
    return {key: accuracies(run, f"{key}/").get(sparsity) for key in ACCURACIES}


def export_table(study: Study) -> Table:
    """Exported files, a row each: how nearly they compute the same, and their facts."""
    rows = [
        {
            "dataset": result.dataset,
            "variant": result.name,
            "parity_max_abs": result.content["parity"]["max_abs"],
            **result.content["facts"],
        }
        for result in study.of("export")
    ]
    return Table(EXPORT, rows).filled()


def bench_table(study: Study) -> Table:
    """The study's benchmark results, a row a model and device."""
    return results_table(study.of("bench"))


def results_table(results: Sequence[ResultFile]) -> Table:
    """Benchmark results of any origin, a row a model and device."""
    rows = [_bench_row(result, model) for result in results for model in result.content["models"]]
    rows += [
        {"dataset": result.dataset, "device": result.name, "model": "all", "status": result.content["status"]}
        for result in results
        if not result.content["models"]
    ]
    return Table(BENCH, rows).filled()


def _bench_row(result: ResultFile, model: Mapping) -> dict[str, Value]:
    latency, speedup = model["latency"], model["speedup"]
    cold = [run["load_ns"] + run["first_run_ns"] for run in model["cold"]]
    peaks = [run["peak_rss_bytes"] for run in model["cold"] if run["peak_rss_bytes"]]
    return {
        "dataset": result.dataset,
        "device": result.name,
        "model": model["name"],
        "accuracy": _accuracy(model),
        "p50_ms": latency and latency["p50_ns"] / 1e6,
        "predicted_ms": (predicted := model.get("predicted_ns")) and predicted / 1e6,
        "p90_ms": latency and latency["p90_ns"] / 1e6,
        "speedup": speedup and Interval(speedup["median"], speedup["low"], speedup["high"], latency["rounds"]),
        "cold_ms": median(cold) / 1e6 if cold else None,
        "peak_bytes": median(peaks) if peaks else None,
        "zstd_bytes": model["facts"]["zstd_bytes"],
        "status": model["status"],
    }


def doubt(model: Mapping) -> str | None:
    """Why a model's accuracy is none to compare with others, in a word; None: it is."""
    known = {"assumed": "assumed", "no_answer": "images without an answer", "parity_fail": "other outputs"}
    return known.get(model["status"])


def _accuracy(model: Mapping) -> Interval | None:
    if (score := model["accuracy"]) is None:
        return None
    found = score["fraction"], score["low"], score["high"], score["images"]
    return Doubtful(*found, why) if (why := doubt(model)) else Interval(*found)


def bench_notes(result: ResultFile) -> Iterator[str]:
    """Sentences on a device: how it was measured, what failed, and signs of neighbours."""
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
        yield from (f"{place}, {model['name']}: {note}." for note in model.get("notes", ()))
    if content["noisy"]:
        yield f"{place}: noisy ({'; '.join(content['disturbances'])}), so absolute times are upper limits."


def _over(stage: str, columns: Sequence[Column]) -> Callable[[Study], Table]:
    """The table of a stage whose every run has a flat metrics.json."""

    def build(study: Study) -> Table:
        rows = []
        for dataset, method, runs in _groups(study, stage):
            row: dict[str, Value] = {"dataset": dataset, "method": method or None, "seeds": len(runs)}
            for column in columns:
                found = _over_seeds(column.key, [run.content for run in runs])
                row[column.key] = found and (found if column.kind in ("percent", "number") else found.mean)
            rows.append(row)
        return Table((DATASET, METHOD, SEEDS, *columns), rows).filled()

    return build


def _groups(study: Study, stage: str) -> list[tuple[str, str, list[ResultFile]]]:
    return [
        (dataset, name, study.of(stage, dataset, name))
        for dataset in study.datasets(stage)
        for name in study.names(stage, dataset)
    ]


def _over_seeds(key: str, runs: Sequence[Mapping]) -> Interval | None:
    """Of the runs' values of ``key``; None where a seed has none: a mean over other seeds would not compare."""
    values = [run.get(key) for run in runs]
    return None if None in values else interval(values, bounds_of(key))


def _mean(key: str, runs: Sequence[Mapping]) -> float | None:
    found = _over_seeds(key, runs)
    return found and found.mean


TABLES: dict[str, Callable[[Study], Table]] = {
    "train": _over("train", TRAIN),
    "prune": prune_table,
    "federate": _over("federate", FEDERATE),
    "gan": _over("gan", GAN),
    "export": export_table,
    "bench": bench_table,
}
