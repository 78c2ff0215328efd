"""The Snakefile's jobs as plain data, read through Snakemake's API (the Snakefile is the only DAG).

Two private calls of Snakemake 9.27 are used (`_prepare_dag`, `_build_dag`), hence the pin; ``--detailed-summary``
has no inputs in a clean tree and ``--d3dag`` no edges.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ANY_SIZE = 2**40
"""Bytes up to which files are compared by content; the same as in the profiles."""


@dataclass(frozen=True)
class Job:
    """One job: paths are relative to the project root; ``pending`` says whether Snakemake would run it now."""

    rule: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shell: str
    pending: bool


def jobs(study: str, root: Path = Path()) -> list[Job]:
    """The study's jobs in topological order, without the targets-only rule ``all``."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.enums import Quietness
    from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

    with inside(root), SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(config={"study": study}),
            snakefile=Path("Snakefile"),
        )
        workflow.dag(DAGSettings(max_checksum_file_size=ANY_SIZE))
        inner = workflow._workflow
        inner._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
        inner._build_dag()
        pending = set(inner.dag.needrun_jobs())
        # A level is a set, whose order changes from run to run.
        ordered = [job for level in inner.dag.toposorted() for job in sorted(level, key=lambda job: list(job.output))]
        return [
            Job(
                rule=job.rule.name,
                inputs=tuple(map(str, job.input)),
                outputs=tuple(map(str, job.output)),
                shell=job.rule.shellcmd,
                pending=job in pending,
            )
            for job in ordered
            if job.rule.shellcmd
        ]


@contextmanager
def inside(root: Path) -> Iterator[None]:
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
