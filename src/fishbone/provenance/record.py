"""Hashes of finished results into ``dvc.lock``, its only record.

``dvc commit`` by itself would bless stale outputs under new parameters, so only stages in which Snakemake has
nothing left to do are committed; after a failed run that is everything that did finish.
"""

from pathlib import Path

import click

from fishbone.files import write_text
from fishbone.provenance import stamp
from fishbone.provenance.dag import Job, jobs
from fishbone.provenance.generate import check
from fishbone.provenance.params import QUICK, load_study


def finished(members: list[Job]) -> tuple[list[str], list[str]]:
    """(rules with no pending job, the other rules), each in order of first appearance."""
    rules = list(dict.fromkeys(job.rule for job in members))
    pending = {job.rule for job in members if job.pending}
    return [rule for rule in rules if rule not in pending], [rule for rule in rules if rule in pending]


def record(study: str, root: Path = Path()) -> tuple[list[str], list[str]]:
    """Commit the finished stages of a study, as ``dvc.yaml`` has them; returns what `finished` returns.

    Raises:
        dvc.exceptions.DvcException: DVC failed; ``dvc.lock`` is as it was.
    """
    done, waiting = finished(jobs(study, root))
    if done:
        _commit({f"{study}-{rule}" for rule in done}, root)
    stamp.write(study, root)
    return done, waiting


def _commit(names: set[str], root: Path) -> None:
    """What ``dvc commit --force`` does, but dvc.lock is read and written once, not for every stage: minutes less."""
    # Imported late: DVC takes a second, and the other verbs do without.
    from dvc.repo import Repo, lock_repo
    from dvc.stage.serialize import to_lockfile
    from dvc.utils.serialize import dumps_yaml, load_yaml

    path = root / "dvc.lock"
    # Without git, which DVC would ask about each output whether it is ignored.
    with Repo(str(root), config={"core": {"no_scm": True}}) as repo, lock_repo(repo):
        lock = {"schema": "2.0", "stages": {}} | (load_yaml(path) if path.is_file() else {})
        for stage in repo.stage.load_all(str(root / "dvc.yaml")):
            if stage.name in names:
                stage.save()
                stage.commit()
                lock["stages"].update(to_lockfile(stage))
        write_text(path, dumps_yaml(lock))


@click.command(epilog="Example: fishbone record --study quick")
@click.option("--study", default=QUICK, show_default=True)
def command(study: str) -> None:
    """Write the hashes of a study's finished results to dvc.lock."""
    load_study(study)
    check()
    done, waiting = record(study)
    click.echo(f"recorded: {', '.join(done) or 'nothing'}; not yet run: {', '.join(waiting) or 'nothing'}")
