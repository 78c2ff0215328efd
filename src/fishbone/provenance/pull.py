"""One study's recorded results: out of ``recorded/``, which git keeps, and out of DVC's remotes.

``dvc pull`` asks for the results of all studies, and fails where a remote holds one of them.
"""

from dataclasses import dataclass
from pathlib import Path

import click

from fishbone.errors import InputError
from fishbone.provenance import ledger, running
from fishbone.provenance.cache import copied, restore
from fishbone.provenance.dag import jobs
from fishbone.provenance.judge import judge
from fishbone.provenance.lock import folder, md5, outputs, recorded
from fishbone.provenance.params import load_study
from fishbone.provenance.publish import published
from fishbone.provenance.study import study_option


@dataclass(frozen=True)
class Pulled:
    """Output paths: here as recorded, brought now, found nowhere, and left as they are since they are newer results."""

    here: list[str]
    brought: list[str]
    missing: list[str]
    kept: list[str]


def pull(study: str, remote: str | None = None, root: Path = Path()) -> Pulled:
    """Bring what is recorded and not here.

    Args:
        study: name of the study, such as ``quick``.
        remote: of DVC; without one ``recorded``, then the default remote if there is one.
        root: the folder of the project.

    Raises:
        InputError: nothing of the study is recorded, or DVC knows no such remote or cannot reach it.
    """
    locked = outputs(study, root)
    if not locked:
        file = folder(study, root) / "dvc.lock"
        raise InputError("nothing is recorded", file=file, remedy=f"Run `make reproduce STUDY={study}`.")
    here = [path for path, value in locked.items() if (root / path).is_file() and md5(root / path) == value]
    kept = sorted(made(study, root) & locked.keys() - set(here))
    wanted = {path: value for path, value in locked.items() if path not in {*here, *kept}}
    brought = [path for path, value in wanted.items() if copied(published(path, root), root / path, value)]
    wanted = {path: value for path, value in wanted.items() if path not in set(brought)}
    if wanted:
        from fishbone.provenance.dvc_calls import fetch  # here, as DVC takes a second

        fetch(set(wanted.values()), remote, root)
        brought += restore(wanted, root)
    return Pulled(here, sorted(brought), sorted(wanted.keys() - set(brought)), kept)


def made(study: str, root: Path = Path()) -> set[str]:
    """Outputs that jobs have made here of the present parameters and sources."""
    noted = ledger.read(study, root)["outputs"]
    verdicts = judge(jobs(study, root), recorded(study, root), noted, root, every=False)
    return {out for verdict in verdicts if verdict.good for out in verdict.job.outputs}


@click.command(epilog="Example: fishbone pull --study cifar10 && fishbone claims --study cifar10")
@study_option()
@click.option("--remote", help="DVC remote; without it `recorded`, which git keeps, and then the default one.")
def command(study: str, remote: str | None) -> None:
    """Bring one study's recorded results from recorded/ and DVC's remotes."""
    load_study(study)
    with running.held(study):
        found = pull(study, remote)
    click.echo(f"{len(found.brought)} results brought, {len(found.here)} were here, {len(found.missing)} are nowhere")
    for path in found.missing[:5]:
        click.echo(f"  nowhere: {path}")
    if (more := len(found.missing) - 5) > 0:
        click.echo(f"  and {more} more")
    if found.kept:
        click.echo(
            f"{len(found.kept)} are newer results of this machine, left as they are: `fishbone record` records them"
        )
