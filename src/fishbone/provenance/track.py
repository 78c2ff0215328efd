"""MLflow as a sink with one writer: a study's recorded metrics become nested runs.

Read from ``metrics.json`` and ``history.csv`` after the fact, so stages know nothing of MLflow, parallel jobs do not
fight for the database, and a clone that only pulled can rebuild it. A run is logged once: its tag ``stage.digest``
names the recorded hashes that it shows.
"""

import csv
import hashlib
import json
import os
import subprocess
from pathlib import Path

import click

from fishbone.files import read_json, sha256
from fishbone.provenance.lock import QUICK, folder
from fishbone.provenance.lock import recorded as stages
from fishbone.provenance.params import load_study


def recorded(study: str, root: Path) -> dict[str, dict]:
    """``{path of a metrics file: {"stage", "digest"}}`` for what ``dvc.lock`` holds of the study."""
    found = {}
    for name, stage in stages(study, root).items():
        hashes = stage.outs
        for path in hashes:
            if path.endswith("metrics.json"):
                own = sorted((p, h) for p, h in hashes.items() if Path(p).parent == Path(path).parent)
                text = json.dumps([path, own, stage.params, stage.rule, stage.sources], sort_keys=True)
                found[path] = {"stage": name, "digest": hashlib.sha256(text.encode()).hexdigest()}
    return found


def track(study: str, root: Path = Path()) -> int:
    """Log what is recorded and not yet logged; returns the number of new runs."""
    files = {path: entry for path, entry in recorded(study, root).items() if (root / path).is_file()}
    if not files:
        return 0
    # Set before the import: MLflow's telemetry starts on import.
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = os.environ["DO_NOT_TRACK"] = "true"
    from mlflow import MlflowClient

    store = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{root.resolve() / 'mlflow.db'}")
    client = MlflowClient(tracking_uri=store)
    experiment = client.get_experiment_by_name("fishbone")
    experiment_id = experiment.experiment_id if experiment else client.create_experiment("fishbone")
    parent = _parent(client, experiment_id, study)
    known = {run.data.tags.get("stage.digest") for run in _children(client, experiment_id, parent)}
    new = {path: entry for path, entry in files.items() if entry["digest"] not in known}
    common = _provenance(study, root) | {"mlflow.parentRunId": parent, "study": study}
    for path, entry in new.items():
        _log(client, experiment_id, root, path, common | entry)
    return len(new)


def _parent(client, experiment_id: str, study: str) -> str:
    found = client.search_runs([experiment_id], f"tags.study = '{study}' and tags.kind = 'study'")
    if found:
        return found[0].info.run_id
    run = client.create_run(experiment_id, run_name=study, tags={"study": study, "kind": "study"})
    client.set_terminated(run.info.run_id)
    return run.info.run_id


def _children(client, experiment_id: str, parent: str) -> list:
    runs, token = [], None
    while True:
        page = client.search_runs([experiment_id], f"tags.mlflow.parentRunId = '{parent}'", page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def _provenance(study: str, root: Path) -> dict[str, str]:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True).stdout.strip()

    return {
        "mlflow.source.git.commit": git("rev-parse", "HEAD"),
        "git.dirty": str(bool(git("status", "--porcelain", "--untracked-files=no"))),
        "dvc.lock.sha256": sha256(folder(study, root) / "dvc.lock"),
    }


def _log(client, experiment_id: str, root: Path, path: str, tags: dict[str, str]) -> None:
    from mlflow.entities import Metric

    run = client.create_run(
        experiment_id,
        run_name=path.split("/", 2)[2].removesuffix("metrics.json").rstrip("/."),
        tags={"metrics": path, **{("stage.digest" if k == "digest" else k): v for k, v in tags.items()}},
    )
    now = run.info.start_time
    points = [Metric(name, value, now, 0) for name, value in read_json(root / path).items()]
    history = (root / path).with_name("history.csv")
    if history.is_file():
        with open(history, encoding="utf-8") as file:
            for row in csv.DictReader(file):
                step = int(row.pop("step"))
                points += [Metric(f"history/{k}", float(v), now, step) for k, v in row.items() if v != ""]
    for start in range(0, len(points), 1000):
        client.log_batch(run.info.run_id, metrics=points[start : start + 1000])
    client.set_terminated(run.info.run_id)


@click.command(epilog="Example: fishbone track --study quick && mlflow ui --backend-store-uri sqlite:///mlflow.db")
@click.option("--study", default=QUICK, show_default=True)
def command(study: str) -> None:
    """Log a study's recorded metrics to MLflow."""
    load_study(study)
    click.echo(f"{track(study)} new runs")
