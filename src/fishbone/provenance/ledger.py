"""What this machine knows of a study's outputs since they were last recorded or adopted; disposable.

A JSON file beside Snakemake's own records: of each output its MD5 and a signature (size, times of modification and of
change: the latter cannot be set), so that a changed one is found without reading the others; and the digests of the
sources, so that a changed one can be named. A second file says that Snakemake has run since.
"""

from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ValidationError

from fishbone.errors import InputError
from fishbone.files import read_json, write_json, write_text
from fishbone.provenance import sources


class _Content(BaseModel):
    outputs: dict[str, tuple[list[int], str]]
    sources: dict[str, dict[str, str]]


def signature(path: Path) -> list[int]:
    """Size in bytes, and times of modification and change in nanoseconds."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _path(study: str, root: Path) -> Path:
    return root / ".snakemake" / "fishbone" / f"{study}.json"


def _unrecorded(study: str, root: Path) -> Path:
    return _path(study, root).with_suffix(".unrecorded")


def read(study: str, root: Path = Path()) -> dict:
    """``outputs``: path → [signature, MD5]; ``sources``: stage → path → digest."""
    path = _path(study, root)
    with suppress(InputError, ValidationError):  # not there, or damaged: then contents and records decide
        return _Content.model_validate(read_json(path)).model_dump()
    return {"outputs": {}, "sources": {}}


def write(study: str, outputs: dict[str, str], stages: set[str], root: Path = Path()) -> None:
    """Note these outputs (path → MD5), as they are now, and the sources of these stages."""
    noted = {path: [signature(root / path), md5] for path, md5 in outputs.items()}
    known = read(study, root)["sources"] | {stage: sources.digests(stage) for stage in stages}
    write_json(_path(study, root), {"outputs": noted, "sources": known})


def begin(study: str, root: Path = Path()) -> None:
    """Called when Snakemake starts jobs: what it makes is not recorded yet."""
    write_text(_unrecorded(study, root), "")


def mark_recorded(study: str, root: Path = Path()) -> None:
    """Note that all that Snakemake made is recorded."""
    _unrecorded(study, root).unlink(missing_ok=True)


def is_recorded(study: str, root: Path = Path()) -> bool:
    """Whether Snakemake has started no job since the last record."""
    return not _unrecorded(study, root).exists()


def forget(study: str, root: Path = Path()) -> None:
    """All of it, for what it tells of is gone."""
    for path in (_path(study, root), _unrecorded(study, root), _path(study, root).with_suffix(".tracked")):
        path.unlink(missing_ok=True)


def edited_sources(study: str, stage: str, root: Path = Path()) -> list[str]:
    """Source files of a stage that differ from those at the last record; empty where that is not known."""
    before, now = read(study, root)["sources"].get(stage), sources.digests(stage)
    return sorted(path for path in {*before, *now} if before.get(path) != now.get(path)) if before else []
