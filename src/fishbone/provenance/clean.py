"""Away with what a study made here; its record, DVC's cache and ``recorded/`` stay."""

import shutil
from pathlib import Path

import click

from fishbone.provenance import ledger, running
from fishbone.provenance.study import check_study_name, study_option


def clean(study: str, root: Path = Path()) -> list[Path]:
    """Remove results, checkpoints, logs and the ledger; returns the folders that were there.

    Raises:
        InputError: this cannot name a study, so its folders may be anybody's.
    """
    check_study_name(study)
    folders = [root / name / study for name in ("results", "checkpoints", "logs")]
    there = [folder for folder in folders if folder.is_dir()]
    for folder in there:
        shutil.rmtree(folder)
    ledger.forget(study, root)
    return there


@click.command(epilog="Example: fishbone clean --study quick")
@study_option()
def command(study: str) -> None:
    """Remove what a study made here; the next run takes from DVC's cache what that still has."""
    with running.held(study):
        there = clean(study)
    click.echo(f"removed: {', '.join(map(str, there)) or 'nothing'}")
