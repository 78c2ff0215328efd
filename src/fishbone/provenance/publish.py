"""A study's small results into ``recorded/``, which git keeps.

Metrics, histories, claims and tables lie there as plain files under their own names, so that git shows what changed;
trained networks as DVC objects, for ``recorded/`` is a DVC remote as well. Figures and the page are made of these in
seconds; pruned networks and images are too large. What no record names any more is removed.
"""

from pathlib import Path, PurePosixPath

import click

from fishbone.errors import InputError
from fishbone.provenance import running
from fishbone.provenance.cache import copied
from fishbone.provenance.lock import folder, md5, outputs, studies
from fishbone.provenance.params import load_study
from fishbone.provenance.study import study_option

REMOTE = "recorded"
LIMIT = 1_000_000
"""Bytes; git is no place for larger files."""
PLAIN = {".json", ".csv"}


def published(path: str, root: Path = Path()) -> Path:
    """Where an output lies in ``recorded/`` as a plain file."""
    return root / REMOTE / PurePosixPath(path).relative_to("results")


def is_network(path: str) -> bool:
    """Whether an output is a trained network's weights."""
    parts = PurePosixPath(path)
    return parts.parts[2] == "train" and parts.suffix == ".safetensors"


def publish(study: str, root: Path = Path()) -> tuple[int, int]:
    """Copy what a study has recorded and is small; returns (files and objects, those removed).

    Raises:
        InputError: nothing of the study is recorded, or what is recorded is not here; nothing is removed then.
    """
    locked = outputs(study, root)
    if not locked:
        file = folder(study, root) / "dvc.lock"
        raise InputError("nothing is recorded", file=file, remedy=f"Run `make reproduce STUDY={study}` first.")
    plain = {path: value for path, value in locked.items() if PurePosixPath(path).suffix in PLAIN}
    plain = {path: value for path, value in plain.items() if not _is_large(root / path)}
    networks = {path: value for path, value in locked.items() if is_network(path) and not _is_large(root / path)}
    wanted = plain | networks
    for path, value in wanted.items():
        if not (root / path).is_file() or md5(root / path) != value:
            raise InputError(
                "is not here as it is recorded", file=path, remedy=f"Run `fishbone reproduce --study {study}` first."
            )
    targets = {path: published(path, root) for path in plain}
    targets |= {path: root / REMOTE / "files" / "md5" / value[:2] / value[2:] for path, value in networks.items()}
    for path, target in targets.items():
        copied(root / path, target, wanted[path])
    kept = {published(path, root) for path in plain}
    strays = [file for file in (root / REMOTE / study).rglob("*") if file.is_file() and file not in kept]
    named = {value for name in studies(root) for value in outputs(name, root).values()}
    strays += [file for file in _objects(root) if file.parent.name + file.name not in named]
    for file in strays:
        file.unlink()
    return len(wanted), len(strays)


def _is_large(file: Path) -> bool:
    return file.is_file() and file.stat().st_size >= LIMIT


def _objects(root: Path) -> list[Path]:
    return list((root / REMOTE / "files" / "md5").glob("??/*"))


@click.command(epilog="Example: fishbone publish --study cifar10 && git add recorded")
@study_option()
def command(study: str) -> None:
    """Copy a study's small recorded results to recorded/, which git keeps."""
    load_study(study)
    with running.held(study):
        written, removed = publish(study)
    click.echo(f"recorded/: {written} files written, {removed} removed that no record names; commit it")
