"""``fishbone reproduce``: one command from parameters to report: adopt → generate → snakemake → record → track."""

import sys
from collections import Counter
from pathlib import Path

import click

from fishbone.errors import InputError
from fishbone.provenance import ledger, running
from fishbone.provenance.adopt import Adopted, adopt
from fishbone.provenance.code import code_state
from fishbone.provenance.dag import Job, environment, jobs, tool
from fishbone.provenance.generate import generate
from fishbone.provenance.judge import judge
from fishbone.provenance.lock import recorded
from fishbone.provenance.params import load_study
from fishbone.provenance.record import record, told
from fishbone.provenance.stamp import stamp
from fishbone.provenance.study import study_option
from fishbone.provenance.track import catch_up


@click.command(epilog="Example: fishbone reproduce --study cifar10 --cores 2")
@study_option()
@click.option("--profile", default="default", show_default=True, help="Folder in profiles/: default or slurm.")
@click.option("--cores", type=click.IntRange(1), help="Cores to use; without it the profile decides.")
@click.option("--verify", is_flag=True, help="Compare the content of every output with its record first.")
@click.option("-n", "--dry-run", is_flag=True, help="Print the jobs that would run and why, and change nothing.")
def command(study: str, profile: str, cores: int | None, verify: bool, dry_run: bool) -> None:
    """Run what a study still needs, record its hashes and log its metrics."""
    load_study(study)
    if not Path("profiles", profile, "config.yaml").is_file():
        known = sorted(path.parent.name for path in Path("profiles").glob("*/config.yaml"))
        raise InputError("no such profile", field="--profile", value=profile, remedy=f"Take one of {', '.join(known)}.")
    if dry_run:
        _foretell(study, verify)
        return
    lock = running.acquire(study)
    code = code_state()  # before anything is written

    def snakemake(*targets: str) -> int:
        options = ["--cores", str(cores)] if cores else []
        options += ["--nolock", "--workflow-profile", f"profiles/{profile}", "--config", f"study={study}"]
        command = tool("snakemake", *options, *(["--", *targets] if targets else []))
        return running.run(command, environment(), lock)

    found = _adopted(study, verify)
    failed, left = 0, len(found.hold)
    while found.again and not failed:
        # First these alone: where they come out as they were, nothing that follows them runs.
        failed = snakemake(*(job.outputs[0] for job in found.again))
        found = _adopted(study)
        if len(found.hold) <= left:
            break
        left = len(found.hold)
    planned = jobs(study)
    for file in generate(study, planned):
        click.echo(f"{file} written anew: parameters, sources or rules have changed", err=True)
    pending = [job for job in planned if job.pending]
    if pending and not failed:
        _explain(study, [(job, job.reasons) for job in pending], len(planned))
        failed = snakemake()
    elif not failed:
        click.echo("nothing to do: all results are up to date")
    if pending or not (found.recorded and ledger.is_recorded(study)):
        generate(study, jobs(study))  # parameters may have been edited meanwhile: what is recorded is what holds now
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


def _foretell(study: str, verify: bool) -> None:
    """What `reproduce` would do, without doing any of it."""
    planned, stages = jobs(study), recorded(study)
    verdicts = judge(planned, stages, ledger.read(study)["outputs"], Path(), verify)
    there: dict[str, Path] = {}
    if wanted := {out: value for verdict in verdicts for out, value in verdict.wanted.items()}:
        from fishbone.provenance.dvc_calls import cached  # here, as DVC takes a second

        there = cached(wanted)
    first = {v.job.outputs: v.job for v in verdicts if not v.good and not (v.holds and v.wanted.keys() <= there.keys())}
    coming = {out for v in verdicts if v.job.outputs in first and not v.holds for out in v.job.outputs}
    found = []
    for job in planned:
        if job.outputs in first:
            holds = next(verdict.holds for verdict in verdicts if verdict.job is job)
            other = "results are nowhere" if holds else "no record of these sources, parameters and inputs"
            found.append((job, job.reasons or (other,)))
        elif not coming.isdisjoint(job.inputs):
            coming |= set(job.outputs)
            found.append((job, ()))
    if there:
        click.echo(f"{len(there)} results would be restored: {', '.join(list(there)[:3])}", err=True)
    _explain(study, found, len(planned))
    if any(verdict.holds for verdict in verdicts if verdict.job.outputs in first):
        click.echo("  and what follows them, where they come out otherwise than recorded", err=True)


def _explain(study: str, found: list[tuple[Job, tuple[str, ...]]], total: int) -> None:
    """What is to run and why: the rules, their numbers of jobs, Snakemake's reasons and the sources that changed."""
    click.echo(f"{len(found)} of {total} jobs to run", err=True)
    for rule, count in Counter(job.rule for job, _ in found).items():
        reasons = sorted({reason for job, own in found if job.rule == rule for reason in own})
        files = ledger.edited_sources(study, rule)
        told = "; ".join(reasons) or "follows the others"
        click.echo(f"  {rule}: {count} ({told}{', sources: ' + ', '.join(files) if files else ''})", err=True)
