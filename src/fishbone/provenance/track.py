"""MLflow as a sink with one writer: a study becomes an experiment, its recorded jobs become runs.

Read from the results after the fact, so stages know nothing of MLflow, parallel jobs do not fight for the database,
and a clone that only pulled can rebuild it. A run is logged once: its tag ``stage.digest``, set when all else is
there, names the recorded hashes and parameters that it shows. What cannot be logged now is logged the next time.
"""

import hashlib
import json
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

import click

from fishbone.files import write_text
from fishbone.provenance import running
from fishbone.provenance.code import UNKNOWN, code_state
from fishbone.provenance.lock import recorded
from fishbone.provenance.params import load_study
from fishbone.provenance.runs import FIELDS, Run, as_recorded, parameters_of, runs_of
from fishbone.provenance.study import study_option

# Read by MLflow, some of it on import. A server that does not answer costs seconds, not minutes.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


@dataclass(frozen=True)
class Outcome:
    """What tracking did.

    Attributes:
        logged: runs that were not there before.
        waiting: runs that are still to be logged.
        problem: why, in one line; empty where nothing waits.
    """

    logged: int = 0
    waiting: int = 0
    problem: str = ""

    def __str__(self) -> str:
        if not self.problem:
            return f"{self.logged} new runs"
        return (
            f"{self.logged} new runs, {self.waiting} not logged: {self.problem}. The next `fishbone reproduce` or"
            " `fishbone track` makes up for them."
        )


def finished(study: str, root: Path) -> list[Run]:
    """The study's recorded jobs whose files are here as recorded, and were made with the present parameters."""
    present = load_study(study, root)
    stages = {name: stage for name, stage in recorded(study, root).items() if name in FIELDS}
    outputs = {path: md5 for stage in stages.values() for path, md5 in stage.outs.items()}
    runs = runs_of(study, outputs, {stage: present[stage] for stage in stages})
    return [run for run in runs if _same(run, stages[run.fields["stage"]].params) and as_recorded(run, root)]


def _same(run: Run, block: dict) -> bool:
    try:
        return parameters_of(run.fields, block) == run.parameters
    except KeyError:
        return False  # recorded before the stage had this parameter


def track(study: str, root: Path = Path(), code: dict[str, str] = UNKNOWN) -> Outcome:
    """Log what is recorded and not yet logged, as the server says.

    Args:
        study: name of the study, such as ``quick``.
        root: the folder of the project.
        code: what `code_state` told before anything was written.
    """
    runs = finished(study, root)
    if not runs:
        return Outcome()
    os.environ |= QUIET | {key: value for key, value in PATIENCE.items() if key not in os.environ}
    for name in ("urllib3", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from fishbone.provenance.mlflow_sink import FAILURES, Sink, create  # here: it reads QUIET, and takes seconds

    logged, waiting = 0, len(runs)
    try:
        create(_store(root))
        sink = Sink(_store(root), study, root)
        known = sink.known()
        new = [run for run in runs if run.digest not in known]
        waiting = len(new)
        for run in new:
            sink.log(run, code)
            logged += 1
    except FAILURES as error:
        return Outcome(logged, waiting - logged, _reason(error, _store(root)))
    write_text(_marker(study, root), _state(runs, root))
    return Outcome(logged)


def catch_up(study: str, root: Path, code: dict[str, str]) -> Outcome:
    """`track`, without asking the server where the last `track` logged the very same runs there: milliseconds."""
    marker, store = _marker(study, root), _store(root)
    gone = store.startswith("sqlite:///") and not Path(store.removeprefix("sqlite:///")).is_file()
    if marker.is_file() and not gone and marker.read_text(encoding="utf-8") == _state(finished(study, root), root):
        return Outcome()
    return track(study, root, code)


def _store(root: Path) -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.resolve() / 'mlflow.db'}"


def _marker(study: str, root: Path) -> Path:
    return root / ".snakemake" / "fishbone" / f"{study}.tracked"


def _state(runs: list[Run], root: Path) -> str:
    """Hashed, since the store's address may hold a password."""
    text = json.dumps([_store(root), sorted(run.digest for run in runs)])
    return hashlib.sha256(text.encode()).hexdigest()


def _reason(error: BaseException, store: str) -> str:
    # The innermost says it shortest: "Connection refused".
    while inner := error.__cause__ or error.__context__:
        error = inner
    lines = str(error).strip().splitlines() or [type(error).__name__]
    told = f"MLflow at {store}: {lines[0][:200].rstrip('. ')}"
    if store.startswith("sqlite:///"):
        told += " (a damaged file can be deleted: all runs are logged anew)"
    return re.sub(r"//[^/@\s]*@", "//", told)  # passwords


@click.command(epilog="Example: fishbone track --study quick && mlflow ui --backend-store-uri sqlite:///mlflow.db")
@study_option()
def command(study: str) -> None:
    """Log a study's recorded parameters, metrics and artefacts to MLflow."""
    with running.held(study):
        outcome = track(study, Path(), code_state())
    click.echo(outcome)
    if outcome.problem:
        raise SystemExit(1)
