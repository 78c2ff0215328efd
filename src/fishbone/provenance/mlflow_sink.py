"""Runs as MLflow keeps them: an experiment a study, a run a job, flat, since its page folds nested runs away.

Imported late: MLflow takes seconds.
"""

import hashlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import (
    MAX_ENTITY_KEY_LENGTH,
    MAX_METRICS_PER_BATCH,
    MAX_PARAM_VAL_LENGTH,
    MAX_PARAMS_TAGS_PER_BATCH,
)
from sqlalchemy.exc import SQLAlchemyError

from fishbone.files import replacing
from fishbone.provenance.runs import Run, flat, points

FINISHED = RunStatus.to_string(RunStatus.FINISHED)
FAILURES = (MlflowException, SQLAlchemyError, OSError)  # of a store that cannot be reached, is damaged, or refuses


def create(store: str) -> None:
    """A database of its own whole or not at all: MLflow makes its tables one by one, and cannot go on with half."""
    file = Path(store.removeprefix("sqlite:///"))
    if store.startswith("sqlite:///") and not file.exists():
        with replacing(file) as temporary:
            MlflowClient(tracking_uri=f"sqlite:///{temporary}").search_experiments()


class Sink:
    """A study's experiment in a tracking store.

    Raises, as all methods do:
        mlflow.exceptions.MlflowException: the store cannot be reached, or refuses.
    """

    def __init__(self, store: str, study: str, root: Path):
        self.root, self.study = root, study
        self.client = MlflowClient(tracking_uri=store)
        self.experiment = self._experiment(store)
        # Of this project on this machine, whose one writer this is: what it left unfinished was killed.
        self.writer = hashlib.sha256(f"{socket.gethostname()} {root.resolve()}".encode()).hexdigest()[:16]

    def known(self) -> set[str]:
        """Digests of what is logged whole; what a killed tracker of this project left half done is deleted."""
        runs: list[Any] = []
        token = None
        while page := self.client.search_runs([self.experiment], "tags.job != ''", page_token=token):
            runs += page
            token = page.token
            if not token:
                break
        for run in runs:
            if run.info.status != FINISHED and run.data.tags.get("writer") == self.writer:
                self.client.delete_run(run.info.run_id)
        return {run.data.tags["stage.digest"] for run in runs if run.info.status == FINISHED}

    def log(self, run: Run, code: dict[str, str]) -> None:
        """All that `run` holds; `code` is what `code_state` told."""
        tags = run.fields | {
            "study": self.study,
            "job": run.job,
            "writer": self.writer,
            "mlflow.source.name": f"fishbone {run.fields['stage']}",
            "mlflow.source.type": "LOCAL",
            "mlflow.source.git.commit": code["commit"],
            "git.dirty": code["dirty"],
        }
        info = self.client.create_run(self.experiment, run_name=run.name, tags=tags).info
        self._log_parameters(info.run_id, run)
        self._log_points(info.run_id, run, info.start_time)
        self._log_files(info.run_id, run)
        self.client.set_tag(info.run_id, "stage.digest", run.digest)
        self.client.set_terminated(info.run_id)

    def _log_parameters(self, run_id: str, run: Run) -> None:
        named = {key[:MAX_ENTITY_KEY_LENGTH]: text[:MAX_PARAM_VAL_LENGTH] for key, text in flat(run.parameters)}
        parameters = [Param(key, text) for key, text in (named | run.fields | {"study": self.study}).items()]
        for some in _slices(parameters, MAX_PARAMS_TAGS_PER_BATCH):
            self.client.log_batch(run_id, params=some)
        if run.data:
            path, md5 = run.data
            data = Dataset(name=run.fields["dataset"], digest=md5, source_type="local", source=path)
            self.client.log_inputs(run_id, datasets=[DatasetInput(data)])

    def _log_points(self, run_id: str, run: Run, now: int) -> None:
        metrics = [Metric(_name(name), value, now, step) for name, value, step in points(run, self.root)]
        for some in _slices(metrics, MAX_METRICS_PER_BATCH):
            self.client.log_batch(run_id, metrics=some)

    def _log_files(self, run_id: str, run: Run) -> None:
        for path in run.files:
            place = PurePosixPath(path).relative_to(f"results/{self.study}/{run.folder}").parent
            self.client.log_artifact(run_id, str(self.root / path), None if place.name == "" else str(place))
        # Whole: a parameter's text may be longer than MLflow keeps.
        self.client.log_text(run_id, json.dumps(run.parameters, indent=2, sort_keys=True), "parameters.json")

    def _experiment(self, store: str) -> str:
        name = f"fishbone/{self.study}"
        found = self.client.get_experiment_by_name(name)
        if not store.startswith("sqlite:"):
            return found.experiment_id if found else self.client.create_experiment(name)
        # MLflow keeps the absolute path: in a copied project it is the original's folder.
        if found and Path(unquote(urlsplit(found.artifact_location).path)).is_relative_to(self.root.resolve()):
            return found.experiment_id
        if found:
            self.client.rename_experiment(found.experiment_id, f"{name}, elsewhere ({found.experiment_id})")
        place = (self.root / "mlartifacts").resolve().as_uri()
        return self.client.create_experiment(name, artifact_location=place)


def _slices(values: list, length: int) -> Iterator[list]:
    for start in range(0, len(values), length):
        yield values[start : start + length]


def _name(text: str) -> str:
    """A metric's name in the letters that MLflow takes."""
    return re.sub(r"[^\w.\- :/]", "_", text)[:MAX_ENTITY_KEY_LENGTH]
