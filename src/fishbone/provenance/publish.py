"""A study's small results into ``recorded/``, a DVC remote that git keeps.

That is metrics, tables, figures and trained networks under a megabyte: no pruned networks and no images. ``dvc push``
reads ``dvc.yaml`` and ``dvc.lock`` again for every path that it is given, eight minutes for three hundred of them; here
DVC gets their hashes in one go. Objects that no stage of ``dvc.lock`` names any more are removed.
"""

from pathlib import Path, PurePosixPath

import click

from fishbone.errors import InputError
from fishbone.provenance.lock import QUICK, locked, of_study
from fishbone.provenance.params import load_study

REMOTE = "recorded"
LIMIT = 1_000_000
"""Bytes; git is no place for larger files."""
TEXT = {".json", ".csv", ".svg", ".html"}


def small(stages: dict[str, dict]) -> dict[str, str]:
    """``{path: md5}`` of the outputs to publish, of stages as in ``dvc.lock``."""
    return {
        out["path"]: out["md5"]
        for name, stage in stages.items()
        for out in stage["outs"]
        if out["size"] < LIMIT and (PurePosixPath(out["path"]).suffix in TEXT or name.endswith("-train"))
    }


def publish(study: str, root: Path = Path()) -> tuple[int, int]:
    """Push what a study has recorded and is small; returns (objects added, objects removed).

    Raises:
        InputError: nothing of the study is recorded, or DVC's cache has not all of it; the rest is pushed then and
            nothing removed.
    """
    stages = locked(root)
    wanted = small(of_study(stages, study))
    if not wanted:
        raise InputError(
            "nothing is recorded", file="dvc.lock", field=study, remedy=f"Run `make reproduce STUDY={study}` first."
        )
    # Imported late: DVC takes a second, and the other verbs do without.
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        md5s = set(wanted.values())
        hashes = {out.hash_info for out in repo.index.outs if out.hash_info.value in md5s}
        added = repo.cloud.push(hashes, remote=REMOTE).transferred
        folder = Path(repo.cloud.get_remote(REMOTE).odb.path)
    objects = {path.parent.name + path.name: path for path in folder.glob("??/*")}
    missing = sorted(path for path, md5 in wanted.items() if md5 not in objects)
    if missing:
        raise InputError(
            f"{len(missing)} recorded results are not in DVC's cache",
            file=missing[0],
            remedy=f"Run `dvc pull` or `make reproduce STUDY={study}` first.",
        )
    named = {out["md5"] for stage in stages.values() for out in stage["outs"]}
    unnamed = [path for md5, path in objects.items() if md5 not in named]
    for path in unnamed:
        path.unlink()
    return len(added), len(unnamed)


@click.command(epilog="Example: fishbone publish --study cifar10 && git add recorded")
@click.option("--study", default=QUICK, show_default=True)
def command(study: str) -> None:
    """Copy a study's small recorded results to recorded/, a DVC remote that git keeps."""
    load_study(study)
    added, removed = publish(study)
    click.echo(f"recorded/: {added} objects added, {removed} removed that no record names; commit it")
