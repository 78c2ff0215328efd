"""A study's result files → one `Study`, in which every number keeps the file that it came from.

Files are named one by one and nothing else is read from the folders, so what a removed seed or method left behind
never reaches a report. A path says what the file is: ``<study>/<stage>/`` and then `LAYOUT`.
"""

import csv
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fishbone.errors import InputError
from fishbone.export.names import parse_name
from fishbone.files import read_json
from fishbone.report.checks import check
from fishbone.report.methods import place

_DATASET, _NAME, _SEED = r"(?P<dataset>[^/]+)", r"(?P<name>[^/]+)", r"seed(?P<seed>\d+)"
LAYOUT = {
    "prepare": rf"{_DATASET}\.json",
    "train": rf"{_DATASET}/{_SEED}/metrics\.json",
    "prune": rf"{_DATASET}/{_NAME}/{_SEED}/metrics\.json",
    "federate": rf"{_DATASET}/{_NAME}/{_SEED}/metrics\.json",
    "gan": rf"{_DATASET}/{_NAME}/{_SEED}/metrics\.json",
    "export": rf"{_DATASET}/{_NAME}\.json",
    "bench": rf"{_DATASET}/{_NAME}(?<!\.metrics)\.json",
}
STAGES = tuple(LAYOUT)


@dataclass(frozen=True)
class ResultFile:
    """One result file, and what its path says of it.

    Attributes:
        stage: the stage that wrote it.
        dataset: the data set's name.
        name: pruning, federated or GAN method; exported variant; device. Empty for prepare and train.
        seed: None where a stage has none.
        path: where the file is.
        content: what the file says, as parsed JSON.
    """

    stage: str
    dataset: str
    name: str
    seed: int | None
    path: Path
    content: Mapping[str, Any]

    @property
    def artefact(self) -> str:
        """The file's path relative to the working folder."""
        return artefact(self.path)

    def beside(self, name: str) -> Path:
        """Another file of the same run."""
        return self.path.with_name(name)

    def history(self) -> dict[str, np.ndarray]:
        """Columns of ``history.csv``: float64, NaN where a cell is empty."""
        return read_history(self.beside("history.csv"))


@dataclass(frozen=True)
class Study:
    """All results, sorted by stage, data set, method, name and seed; and their parameters."""

    name: str
    results: tuple[ResultFile, ...]
    params: Mapping[str, Any]

    def of(self, stage: str, dataset: str | None = None, name: str | None = None) -> list[ResultFile]:
        """Results of a stage.

        Args:
            stage: the stage that wrote them.
            dataset: the data set that they are of; None: any.
            name: the method, variant or device that they are of; None: any.
        """
        return [
            result
            for result in self.results
            if result.stage == stage and dataset in (None, result.dataset) and name in (None, result.name)
        ]

    def datasets(self, stage: str) -> list[str]:
        """Data sets with results of this stage, in their order."""
        return list(dict.fromkeys(result.dataset for result in self.of(stage)))

    def names(self, stage: str, dataset: str | None = None) -> list[str]:
        """Names of this stage's results, each once, in their order."""
        return list(dict.fromkeys(result.name for result in self.of(stage, dataset)))

    def runs(self, stage: str, dataset: str, name: str = "") -> dict[int, ResultFile]:
        """Results of one method on one data set, by seed."""
        return {result.seed: result for result in self.of(stage, dataset, name) if result.seed is not None}

    @property
    def stages(self) -> list[str]:
        """Those with results, in the pipeline's order."""
        return [stage for stage in STAGES if self.of(stage)]


def artefact(path: Path) -> str:
    """The path of a file from here, as links write it."""
    return Path(os.path.relpath(path)).as_posix()


def read_study(files: Iterable[Path], params: Mapping[str, Any]) -> Study:
    """Read a study's results.

    Args:
        files: of one study, each where its stage puts it.
        params: the study's parameters, for the page; may be empty.

    Raises:
        InputError: no files, a path outside the layout, files of two studies, broken JSON, a missing key, a number
            that its quantity cannot be.
    """
    results: list[ResultFile] = []
    studies: dict[str, Path] = {}
    for path in files:
        study, result = _read(path)
        results.append(result)
        studies.setdefault(study, path)
    if not results:
        raise InputError("no files", field="FILES", remedy="Name the metrics.json and *.json files of the study.")
    if len(studies) > 1:
        shown = ", ".join(map(str, studies.values()))
        raise InputError("files of two studies", field="FILES", value=shown, remedy="Report one study at a time.")
    return Study(Path(next(iter(studies))).name, tuple(sorted(results, key=_order)), params)


def _order(result: ResultFile) -> tuple[int, str, int, str, int]:
    """The key that sorts results: methods as the table of methods has them."""
    method = parse_name(result.name).method if result.stage == "export" else result.name
    return STAGES.index(result.stage), result.dataset, place(method), result.name, result.seed or 0


def _read(path: Path) -> tuple[str, ResultFile]:
    """(folder of the study, result)."""
    text = Path(os.path.abspath(path)).as_posix()
    patterns = {stage: rf"(?P<study>.*[^/]+)/{stage}/{layout}" for stage, layout in LAYOUT.items()}
    found = {stage: match for stage, pattern in patterns.items() if (match := re.fullmatch(pattern, text))}
    if not found:
        remedy = f"Give files that lie as STUDY/STAGE/…, such as {_examples()}."
        raise InputError("not where a stage puts its results", field="FILES", value=str(path), remedy=remedy)
    # A data set may be called like a stage: the folder nearest to the root is the stage.
    stage = min(found, key=lambda stage: len(found[stage]["study"]))
    parts = found[stage].groupdict()
    seed = parts.get("seed")
    content = read_json(path)
    check(path, stage, content)
    place = (parts.get("dataset", ""), parts.get("name", ""), None if seed is None else int(seed))
    return parts["study"], ResultFile(stage, *place, Path(path), content)


def _examples() -> str:
    return "results/quick/train/digits/seed0/metrics.json or results/quick/bench/digits/local.json"


def read_history(path: Path) -> dict[str, np.ndarray]:
    """Columns of numbers by name; NaN where a cell is empty.

    Raises:
        InputError: the file is missing, or no table of numbers.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        columns = rows[0] if rows else {}
        return {key: np.array([float(row[key]) if row[key] else np.nan for row in rows]) for key in columns}
    except FileNotFoundError:
        raise InputError("file is missing", file=path, remedy="Run the stage that makes it.") from None
    except (ValueError, TypeError) as error:
        raise InputError(f"not a table of numbers: {error}", file=path, remedy="Make the file again.") from None
