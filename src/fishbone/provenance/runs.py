"""What a tracker is told of each finished job, as plain data: fields, parameters, numbers and files.

A job is known by its place: ``results/STUDY/STAGE/…``, in a folder ``seedN`` or as one name of a data set's.
"""

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fishbone.files import read_json
from fishbone.provenance.lock import md5
from fishbone.provenance.params import job_params

FIELDS = {
    "prepare": ("dataset",),
    "train": ("dataset", "seed"),
    "prune": ("dataset", "method", "seed"),
    "federate": ("dataset", "method", "seed"),
    "gan": ("dataset", "method", "seed"),
    "export": ("dataset", "network"),
    "bench": ("dataset", "device"),
    "report": (),
}
"""What the parts of a job's path below its stage are called."""

TOLD = {".json", ".csv", ".png", ".svg", ".html"}
"""Files that go with a run; weights and images stay with DVC."""

STEPS = 10_000
"""A tracker's step is an integer, so a sparsity is counted in hundredths of a percent."""

Point = tuple[str, float, int]
"""(name, value, step)"""


@dataclass(frozen=True)
class Run:
    """One finished job.

    Attributes:
        job: its path below ``results/STUDY``, e.g. ``prune/mnist5k/fls/seed0``.
        fields: ``stage`` and what `FIELDS` names.
        parameters: what the job was given.
        files: {path from the project root: recorded MD5}, of those in `TOLD`.
        data: path and MD5 of its prepared data set, where it has one and that is recorded.
        digest: of all recorded outputs and the parameters: the same digest, the same run.
    """

    job: str
    fields: dict[str, str]
    parameters: dict
    files: dict[str, str]
    data: tuple[str, str] | None
    digest: str

    @property
    def name(self) -> str:
        """What people call it: stage, method, data set, device and seed, as far as it has them."""
        order = ("stage", "method", "network", "dataset", "device", "seed")
        words = [
            f"seed {self.fields[key]}" if key == "seed" else self.fields[key] for key in order if key in self.fields
        ]
        return " ".join(words)

    @property
    def folder(self) -> str:
        """The part of `job` that is a folder: what a file's place within the run is relative to."""
        whole = "seed" in FIELDS[self.fields["stage"]] or self.job == "report"
        return self.job if whole else str(PurePosixPath(self.job).parent)


def job_of(path: str) -> str:
    """``results/quick/prune/digits/fls/seed0/metrics.json`` → ``prune/digits/fls/seed0``; see `Run.job`."""
    stage, *rest = path.split("/")[2:]
    if stage == "report":
        return stage
    if len(rest) > 1 and re.fullmatch(r"seed\d+", rest[-2]):
        return "/".join([stage, *rest[:-1]])
    return "/".join([stage, *rest[:-1], re.sub(r"(\.metrics)?\.(json|npz|onnx)$", "", rest[-1])])


def runs_of(study: str, outputs: dict[str, str], blocks: dict[str, dict]) -> list[Run]:
    """One run a job, from the study's recorded outputs ({path: MD5}) and its stages' parameter blocks."""
    by_job: dict[str, dict[str, str]] = {}
    for path in sorted(outputs):
        by_job.setdefault(job_of(path), {})[path] = outputs[path]
    runs = []
    for job, own in by_job.items():
        stage, *parts = job.split("/")
        fields = {"stage": stage, **dict(zip(FIELDS[stage], parts, strict=True))}
        if "seed" in fields:
            fields["seed"] = fields["seed"].removeprefix("seed")
        elif stage == "export":
            fields["seed"] = str(blocks[stage]["seed"])
        parameters = parameters_of(fields, blocks[stage])
        prepared = f"results/{study}/prepare/{fields.get('dataset')}.npz"
        runs.append(
            Run(
                job,
                fields,
                parameters,
                files={path: md5 for path, md5 in own.items() if PurePosixPath(path).suffix in TOLD},
                data=(prepared, outputs[prepared]) if prepared in outputs else None,
                digest=_digest([job, own, parameters]),
            )
        )
    return runs


def _digest(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def parameters_of(fields: dict[str, str], block: dict) -> dict:
    """What a job of this stage and data set is given: `job_params`, of the sources its own alone."""
    if fields["stage"] == "prepare":
        block = block | {"sources": {fields["dataset"]: block["sources"].get(fields["dataset"])}}
    return json.loads(job_params(fields["stage"], block))


def as_recorded(run: Run, root: Path) -> bool:
    """Whether all of the run's files are here with the recorded contents."""
    return all((root / path).is_file() and md5(root / path) == value for path, value in run.files.items())


def flat(value, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Parameters by dotted name, as text: ``{"fls": {"form": "inner"}}`` → ``("fls.form", "inner")``."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)


def points(run: Run, root: Path) -> Iterator[Point]:
    """The run's numbers: final ones at step 0, ``history/…`` by step, and what depends on sparsity by sparsity.

    The last are called ``over_sparsity_x10000/…``: their step is the sparsity times `STEPS`.
    """
    for path in run.files:
        name = PurePosixPath(path).name
        if name.endswith("metrics.json") or run.fields["stage"] in ("prepare", "export"):
            for key, value in _numbers(read_json(root / path)):
                yield key, value, 0
                if run.fields["stage"] == "prune" and (found := re.fullmatch(r"(.+)/(0?\.\d+)", key)):
                    yield f"over_sparsity_x{STEPS}/{found[1]}", value, round(STEPS * float(found[2]))
        elif name == "cost.json":
            yield from ((f"cost/{key}", value, 0) for key, value in _numbers(read_json(root / path)))
        elif name == "history.csv":
            with open(root / path, encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    step = int(row.pop("step"))
                    yield from ((f"history/{key}", float(text), step) for key, text in row.items() if text)


def _numbers(value, prefix: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{prefix}/{key}" if prefix else key)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield prefix, float(value)
