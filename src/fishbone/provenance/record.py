"""Hashes of finished results into the study's ``dvc.lock``, its only record.

``dvc commit`` by itself would bless stale outputs under new parameters, so only stages in which Snakemake has nothing
left to do are recorded; after a failed run that is everything that did finish. Nor is an output recorded that has
changed since its job ended.
"""

from dataclasses import dataclass
from pathlib import Path

import click

from fishbone.errors import InputError
from fishbone.provenance import ledger, running
from fishbone.provenance.dag import jobs
from fishbone.provenance.generate import outdated
from fishbone.provenance.judge import judge
from fishbone.provenance.lock import recorded
from fishbone.provenance.params import load_study
from fishbone.provenance.study import study_option


@dataclass(frozen=True)
class Record:
    """Rules that were recorded, that have jobs left to run, and outputs that changed after their job had ended."""

    done: list[str]
    waiting: list[str]
    changed: list[str]


def record(study: str, root: Path = Path()) -> Record:
    """Record the finished stages of a study.

    Raises:
        InputError: ``dvc.yaml`` is out of step with the Snakefile, or DVC failed; ``dvc.lock`` is as it was then.
    """
    members = jobs(study, root)
    for file in outdated(study, members, root):
        raise InputError(
            "out of step with the Snakefile", file=file, remedy=f"Run `fishbone generate --study {study}`."
        )
    verdicts = judge(members, recorded(study, root), ledger.read(study, root)["outputs"], root, every=False)
    bad = {out for verdict in verdicts if not verdict.good for out in verdict.job.outputs}
    waiting = {v.job.rule for v in verdicts if not v.good or not bad.isdisjoint(v.job.inputs)}
    rules = list(dict.fromkeys(job.rule for job in members))
    done = [rule for rule in rules if rule not in waiting]
    if done:
        from fishbone.provenance.dvc_calls import commit  # here, as DVC takes a second

        commit(study, set(done), root)
    noted = {out: value for verdict in verdicts if verdict.good for out, value in verdict.md5s.items()}
    ledger.write(study, noted, set(done), root)
    ledger.mark_recorded(study, root)
    changed = [out for verdict in verdicts if not verdict.job.pending for out in verdict.changed]
    return Record(done, [rule for rule in rules if rule in waiting], changed)


@click.command(epilog="Example: fishbone record --study quick")
@study_option()
def command(study: str) -> None:
    """Write the hashes of a study's finished results to dvc.lock."""
    load_study(study)
    with running.held(study):
        click.echo(told(record(study)))


def told(found: Record) -> str:
    """What was recorded, for a person."""
    text = f"recorded: {', '.join(found.done) or 'nothing'}; not yet run: {', '.join(found.waiting) or 'nothing'}"
    return "\n".join([text, *(f"not recorded, changed since its job ended: {out}" for out in found.changed)])
