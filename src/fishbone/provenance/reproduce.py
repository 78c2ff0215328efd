"""``fishbone reproduce``: one command from parameters to report: adopt (if needed) → snakemake → record → track."""

import subprocess
import sys
from pathlib import Path

import click

from fishbone.provenance import stamp
from fishbone.provenance.adopt import adopt
from fishbone.provenance.dag import environment, jobs, tool
from fishbone.provenance.generate import check
from fishbone.provenance.params import QUICK, load_study
from fishbone.provenance.record import record
from fishbone.provenance.track import track


@click.command(epilog="Example: fishbone reproduce --study cifar10 --cores 2")
@click.option("--study", default=QUICK, show_default=True, help="Study in studies/ (or quick).")
@click.option("--profile", default="default", show_default=True, help="Folder in profiles/: default or slurm.")
@click.option("--cores", type=int, help="Cores to use; without it the profile decides.")
def command(study: str, profile: str, cores: int | None) -> None:
    """Run what a study still needs, record its hashes and log its metrics."""
    load_study(study)
    planned = jobs(study)
    if not stamp.holds(study, Path()) and any(Path(out).exists() for job in planned for out in job.outputs):
        clean, stale = adopt(study)
        click.echo(f"adopted {len(clean)} stages, {len(stale)} to be run")
        planned = jobs(study)

    code = 0
    pending = sum(job.pending for job in planned)
    if pending or not stamp.recorded(study, Path()):
        check()
    if pending:
        click.echo(f"{pending} of {len(planned)} jobs to run", err=True)
        code = _snakemake(study, profile, cores)
    else:
        click.echo("nothing to do: all results are up to date")
    if not stamp.recorded(study, Path()):
        done, waiting = record(study)
        click.echo(f"recorded: {', '.join(done) or 'nothing'}; not yet run: {', '.join(waiting) or 'nothing'}")
        track(study)
    if code:
        sys.exit(1)
    for page in (out for job in planned for out in job.outputs if out.endswith("report.html")):
        click.echo(f"report: {page}")


def _snakemake(study: str, profile: str, cores: int | None) -> int:
    options = ["--cores", str(cores)] if cores else []
    arguments = ["--workflow-profile", f"profiles/{profile}", *options, "--config", f"study={study}"]
    return subprocess.run(tool("snakemake", *arguments), env=environment()).returncode
