"""Which results hold, job by job.

A job's results are good if Snakemake, which ran it here, sees no reason to run it again and nothing has touched its
outputs since. They hold if ``dvc.lock`` says so: the same rule, sources, resolved parameters and inputs are recorded
with these very outputs. File times alone mean nothing.
"""

from dataclasses import dataclass, field
from pathlib import Path

from fishbone.provenance import ledger
from fishbone.provenance.dag import Job
from fishbone.provenance.lock import Recorded, md5

MOMENT = 2.0
"""Seconds within which a job's own writing and renaming changes a file's times."""


@dataclass
class Verdict:
    """Of one job.

    Attributes:
        job: the job that is judged.
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


def judge(jobs: list[Job], stages: dict[str, Recorded], known: dict, root: Path, every: bool) -> list[Verdict]:
    """A verdict a job, in the order of ``jobs``, which is topological.

    Args:
        jobs: all jobs of the study.
        stages: what is recorded of each rule.
        known: outputs as the ledger has them.
        root: the folder of the project.
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
            verdict.md5s = {out: value for out in job.outputs if (value := contents.md5(out))}
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
