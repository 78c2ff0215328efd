"""What each stage's table holds: one row a method (or model), means over seeds with 95 % intervals.

Counts and bytes are means alone: seeds hardly move them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fishbone.export.names import parse_name
from fishbone.report.bench_table import bench_table
from fishbone.report.intervals import Interval, bounds_of, interval
from fishbone.report.labels import Named, method_label, network_label
from fishbone.report.papers.fls import accuracies, cost
from fishbone.report.study import ResultFile, Study
from fishbone.report.tables import Column, Table, Value

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


def prune_table(study: Study) -> Table:
    """Pruned networks, a row for each data set, method and sparsity, over seeds."""
    rows: list[dict[str, Value]] = []
    for dataset, method, runs in _groups(study, "prune"):
        spent, dense = [cost(run) for run in runs], [run.content for run in runs]
        for sparsity in sorted(set().union(*map(accuracies, runs))):
            found = [_at(run, sparsity) for run in runs]
            rows.append(
                {"dataset": dataset, "method": _method(method), "seeds": len(runs), "sparsity": sparsity}
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
            "variant": Named(result.name, network_label(parse_name(result.name))),
            "parity_max_abs": result.content["parity"]["max_abs"],
            **result.content["facts"],
        }
        for result in study.of("export")
    ]
    return Table(EXPORT, rows).filled()


def _over(stage: str, columns: Sequence[Column]) -> Callable[[Study], Table]:
    """The table of a stage whose every run has a flat metrics.json."""

    def build(study: Study) -> Table:
        rows = []
        for dataset, method, runs in _groups(study, stage):
            row: dict[str, Value] = {"dataset": dataset, "method": _method(method), "seeds": len(runs)}
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


def _method(name: str) -> Named | None:
    """A method's cell; none where a stage has no methods."""
    return Named(name, method_label(name)) if name else None


def _over_seeds(key: str, runs: Sequence[Mapping[str, Any]]) -> Interval | None:
    """Of the runs' values of ``key``; None where a seed has none: a mean over other seeds would not compare."""
    values = [run[key] for run in runs if run.get(key) is not None]
    return interval(values, bounds_of(key)) if len(values) == len(runs) else None


def _mean(key: str, runs: Sequence[Mapping[str, Any]]) -> float | None:
    found = _over_seeds(key, runs)
    return None if found is None else found.mean


TABLES: dict[str, Callable[[Study], Table]] = {
    "train": _over("train", TRAIN),
    "prune": prune_table,
    "federate": _over("federate", FEDERATE),
    "gan": _over("gan", GAN),
    "export": export_table,
    "bench": bench_table,
}
