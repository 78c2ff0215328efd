"""``fishbone reproduce``: one command from parameters to report: adopt → generate → snakemake → record → track."""

import sys
from collections import Counter
from pathlib import Path

import click

from fishbone.provenance import ledger, running
from fishbone.provenance.adopt import Adopted, adopt
from fishbone.provenance.code import code_state
from fishbone.provenance.dag import Job, environment, jobs, tool
from fishbone.provenance.generate import generate
from fishbone.provenance.lock import QUICK
from fishbone.provenance.params import load_study
from fishbone.provenance.record import record, told
from fishbone.provenance.stamp import stamp
from fishbone.provenance.track import catch_up


@click.command(epilog="Example: fishbone reproduce --study cifar10 --cores 2")
@click.option("--study", default=QUICK, show_default=True, help="Study in studies/ (or quick).")
@click.option("--profile", default="default", show_default=True, help="Folder in profiles/: default or slurm.")
@click.option("--cores", type=click.IntRange(1), help="Cores to use; without it the profile decides.")
@click.option("--verify", is_flag=True, help="Compare the content of every output with its record first.")
@click.option("-n", "--dry-run", is_flag=True, help="Print the jobs that would run and why, and change nothing.")
def command(study: str, profile: str, cores: int | None, verify: bool, dry_run: bool) -> None:
    """Run what a study still needs, record its hashes and log its metrics."""
    load_study(study)
    if dry_run:
        _explain(study, jobs(study))
        return
    lock = running.acquire(study)
    code = code_state()  # before anything is written

    def snakemake(*targets: str) -> int:
        options = ["--cores", str(cores)] if cores else []
        options += ["--nolock", "--workflow-profile", f"profiles/{profile}", "--config", f"study={study}"]
        command = tool("snakemake", *options, *(["--", *targets] if targets else []))
        return running.run(command, environment(), lock)

    found = _adopted(study, verify)
    failed = 0
    if found.again and not (failed := snakemake(*(job.outputs[0] for job in found.again))):
        # First these alone: where they come out as they were, nothing that follows them runs.
        found = _adopted(study)
    planned = jobs(study)
    for file in generate(study, planned):
        click.echo(f"{file} written anew: parameters, sources or rules have changed", err=True)
    pending = [job for job in planned if job.pending]
    if pending and not failed:
        _explain(study, planned)
        failed = snakemake()
    elif not failed:
        click.echo("nothing to do: all results are up to date")
    if pending or not (found.recorded and ledger.is_recorded(study)):
        click.echo(told(record(study)))
    if (outcome := catch_up(study, Path(), code)).problem:
        click.echo(outcome, err=True)
    if failed:
        sys.exit(1)
    if any(job.rule == "report" for job in planned):
        click.echo(f"report: {stamp(study, code, anew=bool(pending))}")


def _adopted(study: str, verify: bool = False) -> Adopted:
    found = adopt(study, every=verify)
    lost = {out for job in found.again for out in job.outputs}
    for out in found.changed:
        fate = "restored" if out in found.restored else "is made again"
        click.echo(f"changed without its job running, {fate}: {out}", err=True)
    if missing := [out for out in found.restored if out not in found.changed]:
        click.echo(
            f"restored {len(missing)} missing results: {', '.join(missing[:3])}{', …' * (len(missing) > 3)}", err=True
        )
    if lost:
        click.echo(f"{len(found.again)} recorded jobs run again: their results are not here", err=True)
    return found


def _explain(study: str, planned: list[Job]) -> None:
    """What is to run and why: the rules, their numbers of jobs, Snakemake's reasons and the sources that changed."""
    pending = [job for job in planned if job.pending]
    click.echo(f"{len(pending)} of {len(planned)} jobs to run", err=True)
    for rule, count in Counter(job.rule for job in pending).items():
        reasons = {reason for job in pending if job.rule == rule for reason in job.reasons}
        files = ledger.edited_sources(study, rule) if any("params" in reason for reason in reasons) else []
        why = "; ".join(sorted(reasons)) or "follows the others"
        click.echo(f"  {rule}: {count} ({why}{': ' + ', '.join(files) if files else ''})", err=True)
