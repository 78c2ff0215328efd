"""Reading and writing artefacts: every file appears whole or not at all.

Writers create a temporary file beside the target and rename it, so a killed process or a power cut
leaves the old content (or nothing). The same content gives the same bytes: JSON keys are sorted,
``.npz`` members carry no time, and ``.safetensors`` headers hold at most one metadata key.
"""

import contextlib
import csv
import errno
import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fishbone.errors import InputError
from fishbone.locking import try_lock

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; on success it is renamed to ``path``, and lasts through a power cut.

    Temporary files that killed processes left of the same ``path`` are removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    handle, temporary = _temporary(path)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        _flush(temporary)  # before the rename: else the name may outlive the content
        os.utime(temporary)  # written and renamed at one time, however long the disk took
        os.replace(temporary, path)
        with contextlib.suppress(OSError):  # not every file system can
            _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def try_output(path: str | Path, field: str = "--out") -> None:
    """Raise now what writing the file ``path`` would raise once the work is done; leaves nothing behind.

    Raises:
        InputError: it is a folder, or no file of this name can be made in its folder.
    """
    path = Path(path)
    present = path.parent.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        handle, temporary = _temporary(path)
    except OSError as error:
        remedy = "Give a place that you may write to."
        raise InputError(f"cannot be written: {error.strerror}", file=path, field=field, remedy=remedy) from None
    temporary.unlink()
    os.close(handle)
    if not present:
        with contextlib.suppress(OSError):  # another job's files are in it by now
            path.parent.rmdir()


def _temporary(path: Path) -> tuple[int, Path]:
    """(descriptor, path) of a new file beside ``path``, locked so that it is not taken for a leftover."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.exists(name):
            return handle, Path(name)
        os.close(handle)  # swept before it was locked


def _sweep(path: Path) -> None:
    """Remove the temporary files of ``path`` whose writer is no more."""
    leftover = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(path.suffix)}")
    for entry in os.scandir(path.parent):
        if leftover.fullmatch(entry.name):
            with contextlib.suppress(OSError), open(entry.path, "rb") as file:  # gone, or still written
                if try_lock(file.fileno()):
                    os.unlink(entry.path)


def _flush(path: Path) -> None:
    """Wait until the file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: str | Path, text: str) -> None:
    """UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Sorted, indented JSON. NaN and infinity raise ``ValueError``: they are not JSON."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """The file's content.

    Raises:
        InputError: the file is missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("file is missing", file=path, remedy="Run the stage that makes it.") from None
    except ValueError as error:
        raise InputError(f"not valid JSON: {error}", file=path, remedy="Make the file again.") from None


def write_npz(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Uncompressed ``.npz``; nothing in it needs pickle."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def write_history(path: str | Path, rows: Sequence[Mapping[str, float]]) -> None:
    """CSV whose first column is ``step``; all rows have the same keys."""
    columns = ["step", *(key for key in rows[0] if key != "step")]
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_tensors(path: str | Path, tensors: Mapping[str, "Tensor"], header: Mapping[str, Any] | None = None) -> None:
    """``.safetensors`` of CPU copies; ``header`` is JSON kept in the file's own metadata."""
    from safetensors.torch import save_file  # here, as it brings torch, which most readers of files do without

    metadata = None if header is None else {"json": json.dumps(header)}
    with replacing(path) as temporary:
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, temporary, metadata)


def read_tensors(path: str | Path, prefix: str = "") -> tuple[dict[str, "Tensor"], dict[str, Any]]:
    """Inverse of `write_tensors`: (tensors on the CPU, header or ``{}``).

    With a ``prefix`` only tensors whose names begin with it are read; they come without it.

    Raises:
        InputError: the file is missing or not safetensors.
    """
    from safetensors import SafetensorError, safe_open  # here, as it reads into torch's tensors

    try:
        with safe_open(path, framework="pt") as file:
            # Copies: the file's own memory is not aligned as torch's is, and products on it differ in the last bits.
            wanted = [key for key in list(file.keys()) if key.startswith(prefix)]
            tensors = {key.removeprefix(prefix): file.get_tensor(key).clone() for key in wanted}
            header = dict(json.loads((file.metadata() or {}).get("json", "{}")))
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise InputError(f"cannot be read as safetensors: {error}", file=path, remedy="Make the file again.") from None
    return tensors, header
