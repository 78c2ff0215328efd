"""Hashes of finished results into ``dvc.lock``, its only record.

``dvc commit`` by itself would bless stale outputs under new parameters, so only stages in which Snakemake has
nothing left to do are committed; after a failed run that is everything that did finish.
"""

import subprocess
from pathlib import Path

import click

from fishbone.provenance import stamp
from fishbone.provenance.dag import Job, environment, jobs, tool
from fishbone.provenance.generate import check
from fishbone.provenance.params import QUICK, load_study


def finished(members: list[Job]) -> tuple[list[str], list[str]]:
    """(rules with no pending job, the other rules), each in order of first appearance."""
    rules = list(dict.fromkeys(job.rule for job in members))
    pending = {job.rule for job in members if job.pending}
    return [rule for rule in rules if rule not in pending], [rule for rule in rules if rule in pending]


def record(study: str, root: Path = Path()) -> tuple[list[str], list[str]]:
    """Commit the finished stages of a study; returns what `finished` returns.

    Raises:
        InputError: ``dvc.yaml`` is out of step with the Snakefile.
        subprocess.CalledProcessError: DVC failed.
    """
    check(root)
    done, waiting = finished(jobs(study, root))
    if done:
        names = [f"{study}-{rule}" for rule in done]
        subprocess.run(tool("dvc", "commit", "--quiet", "--force", *names), cwd=root, env=environment(), check=True)
    stamp.write(study, root)
    return done, waiting


@click.command(epilog="Example: fishbone record --study quick")
@click.option("--study", default=QUICK, show_default=True)
def command(study: str) -> None:
    """Write the hashes of a study's finished results to dvc.lock."""
    load_study(study)
    done, waiting = record(study)
    click.echo(f"recorded: {', '.join(done) or 'nothing'}; not yet run: {', '.join(waiting) or 'nothing'}")
