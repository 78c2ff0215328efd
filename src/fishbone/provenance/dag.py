"""The Snakefile's jobs as plain data, read through Snakemake's API (the Snakefile is the only DAG).

Two private calls of Snakemake 9.27 are used (`_prepare_dag`, `_build_dag`), hence the pin; ``--detailed-summary``
has no inputs in a clean tree and ``--d3dag`` no edges.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fishbone.errors import InputError
from fishbone.provenance.sources import PACKAGE

ANY_SIZE = 2**40
"""Bytes up to which files are compared by content; the same as in the profiles."""


@dataclass(frozen=True)
class Job:
    """One job: paths are relative to the project root.

    Attributes:
        rule: name of the rule that it runs.
        inputs: files that it reads.
        outputs: files that it makes.
        block: its parameters, as the stage gets them.
        shell: digest of the rule's shell command, before wildcards are filled in.
        sources: digest of the sources that the stage can reach.
        pending: whether Snakemake would run it now.
        reasons: why, in Snakemake's words; empty where only an earlier job's run asks for it.
        made: of each output that exists, (modification time, seconds) when Snakemake saw its job end, if it did.
    """

    rule: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    block: dict
    shell: str
    sources: str
    pending: bool
    reasons: tuple[str, ...] = ()
    made: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The first output, below the study's folder."""
        return self.outputs[0].split("/", 2)[2]


def _block(params) -> dict:
    """A job's parameters; of what else decides its inputs, a digest: the whole study, or the variants that it lists."""
    others = {key: json.dumps(params.get(key)) for key in ("study", "variants") if params.get(key) is not None}
    digests = {key: hashlib.sha256(text.encode()).hexdigest()[:16] for key, text in others.items()}
    return json.loads(params.block) | digests


class Planned:
    """A study's DAG while Snakemake has it open.

    Args:
        workflow: Snakemake's, with its DAG built.

    Attributes:
        jobs: in topological order, without the targets-only rule ``all``.
    """

    def __init__(self, workflow):
        self._workflow = workflow
        pending = set(workflow.dag.needrun_jobs())
        # A level is a set, whose order changes from run to run.
        levels = [sorted(level, key=lambda job: list(job.output)) for level in workflow.dag.toposorted()]
        inner = [job for level in levels for job in level if job.rule.shellcmd]
        self.jobs = [self._job(job, job in pending) for job in inner]
        self._inner = dict(zip((job.outputs for job in self.jobs), inner, strict=True))

    def _job(self, job, pending: bool) -> Job:
        persistence, reason = self._workflow.persistence, self._workflow.dag.reason(job)
        records = {str(out): persistence.metadata(out) for out in job.output}
        return Job(
            rule=job.rule.name,
            inputs=tuple(map(str, job.input)),
            outputs=tuple(map(str, job.output)),
            block=_block(job.params),
            shell=hashlib.sha256(job.rule.shellcmd.encode()).hexdigest()[:12],
            sources=job.params.sources,
            pending=pending,
            reasons=tuple(reason.get_names()) if pending and not reason.derived else (),
            made={out: record.endtime for out, record in records.items() if record and record.endtime},
        )

    def finished(self, job: Job) -> None:
        """Tell Snakemake that the outputs belong to the present inputs, parameters and rule."""
        self._workflow.async_run(self._workflow.persistence.finished(self._inner[job.outputs]))

    def unfinished(self, job: Job) -> None:
        """Tell Snakemake that the outputs hold no more: the job runs again, and nothing is deleted until it does."""
        self._workflow.persistence.started(self._inner[job.outputs])


@contextmanager
def planned(study: str, root: Path = Path()) -> Iterator[Planned]:
    """Plan a study from the project's root folder, which is the working directory meanwhile."""
    # Here, as Snakemake takes seconds, and most verbs do without.
    from snakemake.api import SnakemakeApi
    from snakemake.settings.enums import Quietness
    from snakemake.settings.types import (
        ConfigSettings,
        DAGSettings,
        ExecutionSettings,
        OutputSettings,
        ResourceSettings,
    )

    if Path(root, "src/fishbone").resolve() != PACKAGE:
        remedy = f"Run this checkout's own: PYTHONPATH={Path(root, 'src').resolve()} python -m fishbone …"
        raise InputError("belongs to another checkout", field="fishbone", value=str(PACKAGE), remedy=remedy)
    with _inside(root), SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(config={"study": study}),
            snakefile=Path("Snakefile"),
        )
        workflow.dag(DAGSettings(max_checksum_file_size=ANY_SIZE, force_incomplete=True))
        inner = workflow._workflow
        inner.execution_settings = ExecutionSettings()
        inner._prepare_dag(forceall=False, ignore_incomplete=False, lock_warn_only=False, nolock=True)
        inner._build_dag()
        yield Planned(inner)


def jobs(study: str, root: Path = Path()) -> list[Job]:
    """The study's jobs in topological order."""
    with planned(study, root) as plan:
        return plan.jobs


@contextmanager
def _inside(root: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(root)
    try:
        yield
    finally:
        os.chdir(before)


def tool(name: str, *arguments: str) -> list[str]:
    """The command line of a Python tool of this very environment."""
    return [sys.executable, "-m", name, *arguments]


def environment() -> dict[str, str]:
    """For child processes: this environment's ``python`` first, telemetry off."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", "DO_NOT_TRACK": "true"}
