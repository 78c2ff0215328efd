"""Remembers, beside Snakemake's own disposable records, which ``dvc.lock`` they agree with.

`adopt` is needed when results came from elsewhere (clone and pull, ``git pull``, ``git checkout``), not before every
run: the stamp tells the two apart for the price of one hash.
"""

from pathlib import Path

from fishbone.files import sha256, write_text


def _path(study: str, root: Path) -> Path:
    return root / ".snakemake" / "fishbone" / study


def _digest(root: Path) -> str:
    lock = root / "dvc.lock"
    return sha256(lock) if lock.is_file() else "no dvc.lock"


def write(study: str, root: Path) -> None:
    write_text(_path(study, root), _digest(root))


def holds(study: str, root: Path) -> bool:
    """Whether nothing but this machine's own runs has changed ``dvc.lock`` since the last adopt or record."""
    path = _path(study, root)
    return path.is_file() and path.read_text(encoding="utf-8") == _digest(root)
