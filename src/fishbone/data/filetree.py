"""The files below a folder or in a zip, as one mapping: path with forward slashes → a function that loads the bytes."""

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

Files = Mapping[str, Callable[[], bytes]]


def folder_files(folder: Path) -> Files:
    """All files below ``folder`` in the order of their paths, without hidden ones."""
    paths = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    shown = {name.as_posix(): path for name, path in paths.items() if not any(p.startswith(".") for p in name.parts)}
    return {name: shown[name].read_bytes for name in sorted(shown)}


def zip_files(path: Path) -> Files:
    """All files in a zip, in the order of their paths. The archive stays open as long as the mapping is used."""
    archive = zipfile.ZipFile(path)
    names = sorted(entry.filename for entry in archive.infolist() if not entry.is_dir())
    return {name: partial(archive.read, name) for name in names}


def digest(files: Files) -> str:
    """One SHA-256 for many files: of the lines that ``sha256sum`` prints for them, in order of path."""
    lines = (f"{hashlib.sha256(files[name]()).hexdigest()}  {name}\n" for name in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
