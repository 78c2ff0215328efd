"""Adopt results that hold; before every run, and after clone and pull, checkout, merge or damage.

An output that is not what its job left or the record says (`judge`) is taken from DVC's cache; where it is not there,
its job is marked unfinished and runs again. Nothing is deleted.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import click

from fishbone.provenance import ledger, running
from fishbone.provenance.cache import restore
from fishbone.provenance.dag import Job, Planned, planned
from fishbone.provenance.judge import Verdict, judge
from fishbone.provenance.lock import outputs, recorded
from fishbone.provenance.params import load_study
from fishbone.provenance.study import study_option


@dataclass(frozen=True)
class Adopted:
    """What `adopt` found: outputs by path, and jobs.

    Attributes:
        changed: had changed without their job running.
        restored: were taken from DVC's cache.
        again: recorded jobs that have to run again because their outputs are nowhere.
        hold, stale: jobs that need not run, that have to.
        recorded: whether all that holds is in ``dvc.lock`` as it is here.
    """

    changed: list[str]
    restored: list[str]
    again: list[Job]
    hold: list[Job]
    stale: list[Job]
    recorded: bool


def adopt(study: str, root: Path = Path(), every: bool = False) -> Adopted:
    """Find out what holds, restore what can be restored, and tell Snakemake.

    Args:
        study: name of the study, such as ``quick``.
        root: the folder of the project.
        every: compare the content of every output, not only of those whose size or times have changed.
    """
    stages, known = recorded(study, root), ledger.read(study, root)["outputs"]
    changed: dict[str, None] = {}  # in order
    tried: set[str] = set()
    restored: set[str] = set()
    while True:
        with planned(study, root) as plan:
            verdicts = judge(plan.jobs, stages, known, root, every)
            changed |= dict.fromkeys(out for verdict in verdicts for out in verdict.changed)
            wanted = {out: value for verdict in verdicts for out, value in verdict.wanted.items()}
            missing = {out: value for out, value in wanted.items() if out not in tried}
            tried |= missing.keys()
            found = restore(missing, root) if missing else []
            restored |= set(found)
            if not found:  # else Snakemake has to look at the files again
                for verdict in verdicts:
                    _tell(plan, verdict, wanted.keys(), root)
                break
    hold = [verdict for verdict in verdicts if verdict.good or (verdict.holds and not verdict.wanted)]
    md5s = {out: value for verdict in hold for out, value in verdict.md5s.items()}
    if restored or not all(verdict.good for verdict in verdicts):
        ledger.write(study, md5s, {verdict.job.rule for verdict in hold}, root)
    locked = outputs(study, root)
    held = {verdict.job.outputs for verdict in hold}
    return Adopted(
        changed=list(changed),
        restored=sorted(restored),
        again=[verdict.job for verdict in verdicts if verdict.holds and verdict.job.outputs not in held],
        hold=[verdict.job for verdict in hold],
        stale=[verdict.job for verdict in verdicts if verdict.job.outputs not in held],
        recorded=all(value == locked.get(out) for out, value in md5s.items()),
    )


def _tell(plan: Planned, verdict: Verdict, lost: Collection[str], root: Path) -> None:
    job = verdict.job
    if verdict.good or any(path in lost for path in job.inputs):
        return  # of the latter Snakemake is told once its inputs are there
    if verdict.holds and not verdict.wanted:
        # Younger than the inputs, or Snakemake compares their contents before every run.
        inputs = max([(root / path).stat().st_mtime_ns for path in job.inputs], default=0)
        for out in job.outputs:
            if (root / out).stat().st_mtime_ns <= inputs:
                os.utime(root / out, ns=(inputs + 1_000_000, inputs + 1_000_000))
        plan.finished(job)
    elif verdict.holds or verdict.changed or not job.pending:
        plan.unfinished(job)


@click.command(epilog="Example: git pull && fishbone pull && fishbone adopt")
@study_option()
@click.option("--verify", is_flag=True, help="Compare the content of every output, changed or not.")
def command(study: str, verify: bool) -> None:
    """Find out which results hold, and tell Snakemake."""
    load_study(study)
    with running.held(study):
        found = adopt(study, every=verify)
    click.echo(f"{len(found.hold)} jobs hold, {len(found.stale)} to be run")
    for job in found.stale:
        click.echo(f"  {job.rule}: {job.name}")
