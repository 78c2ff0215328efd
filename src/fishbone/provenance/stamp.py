"""Remembers, beside Snakemake's own disposable records, which part of ``dvc.lock`` they agree with.

Only the study's own stages count: another study's record must not make an interrupted study's finished jobs stale.
`adopt` is needed when results came from elsewhere (clone and pull, ``git pull``, ``git checkout``), not before every
run: the stamp tells the two apart for the price of one hash. A second file says that Snakemake has run since.
"""

import hashlib
import re
from pathlib import Path

from fishbone.files import write_text


def _path(study: str, root: Path) -> Path:
    return root / ".snakemake" / "fishbone" / study


def _digest(study: str, root: Path) -> str:
    lock = root / "dvc.lock"
    text = lock.read_text(encoding="utf-8") if lock.is_file() else ""
    stages = re.findall(rf"^  {re.escape(study)}-[^-\n]+:\n(?:    .*\n|  - .*\n)*", text, re.MULTILINE)
    return hashlib.sha256("".join(stages).encode()).hexdigest()


def _unrecorded(study: str, root: Path) -> Path:
    return _path(study, root).with_name(f"{study}.unrecorded")


def begin(study: str, root: Path) -> None:
    """Called when Snakemake starts jobs: what it makes from nothing is its own, and nothing of it is recorded yet."""
    if not any(file.is_file() for file in (root / "results" / study).rglob("*")):
        write_text(_path(study, root), _digest(study, root))
    write_text(_unrecorded(study, root), "")


def write(study: str, root: Path) -> None:
    """Snakemake's records and ``dvc.lock`` agree now."""
    write_text(_path(study, root), _digest(study, root))
    _unrecorded(study, root).unlink(missing_ok=True)


def recorded(study: str, root: Path) -> bool:
    """Whether Snakemake has run no job since the last adopt or record."""
    return not _unrecorded(study, root).exists()


def holds(study: str, root: Path) -> bool:
    """Whether nothing but this machine's own runs has changed the study's part of ``dvc.lock``.

    That is, since the last adopt or record.
    """
    path = _path(study, root)
    return path.is_file() and path.read_text(encoding="utf-8") == _digest(study, root)
