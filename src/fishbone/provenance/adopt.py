"""Which results hold, job by job; before every run, and after clone and pull, checkout, merge or damage.

A job's results hold if Snakemake, which ran it here, sees no reason to run it again and nothing has touched its outputs
since; or if ``dvc.lock`` says so: the same rule, sources, resolved parameters and inputs are recorded with these very
outputs. File times alone mean nothing. An output that is not what its job left or the record says is taken from DVC's
cache; where it is not there, its job is marked unfinished and runs again. Nothing is deleted.
"""

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import click

from fishbone.files import replacing
from fishbone.provenance import ledger, running
from fishbone.provenance.dag import Job, Planned, planned
from fishbone.provenance.lock import QUICK, Recorded, md5, outputs, recorded
from fishbone.provenance.params import load_study

MOMENT = 2.0
"""Seconds within which a job's own writing and renaming changes a file's times."""


@dataclass
class Verdict:
    """Of one job.

    Attributes:
        good: nothing need be done.
        holds: as recorded, once the outputs in ``wanted`` (path → MD5) are as they should be.
        changed: outputs that are there but are not what their job left.
        md5s: of the outputs as they are, or will be.
    """

    job: Job
    good: bool = False
    holds: bool = False
    wanted: dict[str, str] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    md5s: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Adopted:
    """What `adopt` found; lists of output paths, or names of jobs (``again``).

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


def judge(jobs: list[Job], stages: dict[str, Recorded], known: dict, root: Path, every: bool) -> list[Verdict]:
    """A verdict a job, in the order of ``jobs``, which is topological.

    Args:
        stages: as recorded, by rule.
        known: outputs in the ledger.
        every: compare all contents, also of files whose signature has not changed.
    """
    contents = _Contents(root, {} if every else known)
    verdicts = []
    for job in jobs:
        verdict = Verdict(job)
        stage = stages.get(job.rule)
        unsound = [out for out in job.outputs if not _sound(root / out, out, job, known, contents)]
        # Without its own records Snakemake sees no change of parameters.
        if not job.pending and not unsound and job.made.keys() >= set(job.outputs):
            verdict.good = True
            verdict.md5s = {out: contents.md5(out) for out in job.outputs}
        elif stage and _as_recorded(job, stage, contents):
            verdict.holds = True
            verdict.md5s = {out: stage.outs[out] for out in job.outputs}
            verdict.wanted = {out: value for out, value in verdict.md5s.items() if contents.md5(out) != value}
            verdict.changed = [out for out in verdict.wanted if contents.md5(out)]
            contents.expected |= verdict.md5s
        elif not job.pending:
            verdict.changed = [out for out in unsound if contents.md5(out) and (out in known or out in job.made)]
        verdicts.append(verdict)
    return verdicts


class _Contents:
    """MD5s of files, each read once; those that will be restored or made again count as if they were there."""

    def __init__(self, root: Path, known: dict):
        self._root = root
        self._known = known
        self._read: dict[str, str | None] = {}
        self.expected: dict[str, str] = {}

    def md5(self, path: str) -> str | None:
        """Of the file as it is; None: there is none. Where the ledger has the same signature it is not read."""
        if path not in self._read:
            file = self._root / path
            noted, value = self._known.get(path, (None, None))
            if not file.is_file():
                value = None
            elif noted != ledger.signature(file):
                value = md5(file)
            self._read[path] = value
        return self._read[path]

    def coming(self, path: str) -> str | None:
        return self.expected.get(path) or self.md5(path)


def _sound(file: Path, out: str, job: Job, known: dict, contents: _Contents) -> bool:
    """Whether an output is as it was at the last record, or as its job left it since."""
    if not file.is_file():
        return False
    made = job.made.get(out)
    if out in known:
        (_, modified, _), value = known[out]
        if made is None or made < modified / 1e9 + MOMENT:  # else its job has run after that
            return contents.md5(out) == value
    # Not the time of change as well: chmod, rsync or a backup's return would cost the hours of an unrecorded run.
    return made is not None and abs(file.stat().st_mtime - made) < MOMENT


def _as_recorded(job: Job, stage: Recorded, contents: _Contents) -> bool:
    return (
        (stage.rule, stage.sources) == (job.shell, job.sources)
        and _contained(job.block, stage.params)
        and all(out in stage.outs for out in job.outputs)
        and all(stage.deps.get(path, "") == contents.coming(path) for path in job.inputs)
    )


def _contained(block, recorded) -> bool:
    """Whether the record has all of a job's parameters; it may have more in a mapping, of other jobs of the stage."""
    if isinstance(block, dict) and isinstance(recorded, dict):
        return all(key in recorded and _contained(block[key], recorded[key]) for key in block)
    return block == recorded


def adopt(study: str, root: Path = Path(), every: bool = False) -> Adopted:
    """Find out what holds, restore what can be restored, and tell Snakemake.

    Args:
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


def restore(wanted: dict[str, str], root: Path = Path()) -> list[str]:
    """Take files (path → MD5) out of DVC's cache, each whole or not at all; returns those that were there.

    Their time is that of now, so that Snakemake compares what was made of the former content.
    """
    return [path for path, source in cached(wanted, root).items() if copied(source, root / path, wanted[path])]


def cached(wanted: dict[str, str], root: Path = Path()) -> dict[str, Path]:
    """Where DVC's cache keeps files (path → MD5), if it has them."""
    # Imported late: DVC takes a second, and the other verbs do without.
    from dvc.repo import Repo

    with Repo(str(root), config={"core": {"no_scm": True}}) as repo:
        places = {path: Path(repo.cache.local.oid_to_path(value)) for path, value in wanted.items()}
    return {path: place for path, place in places.items() if place.is_file()}


def copied(source: Path, target: Path, value: str) -> bool:
    """Whether ``source`` is a file of this MD5; its content is then in ``target``."""
    if not source.is_file() or md5(source) != value:
        return False
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
    return True


@click.command(epilog="Example: git pull && fishbone pull && fishbone adopt")
@click.option("--study", default=QUICK, show_default=True)
@click.option("--verify", is_flag=True, help="Compare the content of every output, changed or not.")
def command(study: str, verify: bool) -> None:
    """Find out which results hold, and tell Snakemake."""
    load_study(study)
    with running.held(study):
        found = adopt(study, every=verify)
    click.echo(f"{len(found.hold)} jobs hold, {len(found.stale)} to be run")
    for job in found.stale:
        click.echo(f"  {job.rule}: {job.name}")
