"""Progress of long work in one file, so that a killed process resumes to the bit-identical end.

The file is ``.safetensors`` (tensors) with a JSON header (``state``: counters and history, the ``identity`` of the
work, and the ``sha256`` of all that). A checkpoint of other work — other parameters, inputs or seed — is ignored, never
resumed; so is one that an earlier version wrote, with another `FORMAT` or without a checksum.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fishbone.errors import InputError
from fishbone.files import read_tensors, write_tensors
from fishbone.locking import Lock, hold

FORMAT = 2  # of what is kept in states, here and by those who use checkpoints; goes up when any of it changes


class Checkpoint:
    """Where progress is kept. From the first use on, no other process may use it.

    Args:
        path: file to write; its folder is made. None keeps nothing.
        identity: JSON-able description of everything that decides the result (parameters, input hashes, seed).
    """

    def __init__(self, path: str | Path | None, identity: Mapping[str, Any]):
        self.path = None if path is None else Path(path)
        self.identity = hashlib.sha256(json.dumps([FORMAT, identity], sort_keys=True).encode()).hexdigest()
        self._lock: Lock | None = None

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """(tensors, state) of this very work, or None where there is nothing to resume.

        Raises:
            InputError: the file is damaged, or another process works on it.
        """
        if self.path is None:
            return None
        self._lock = hold(self.path)
        if not self.path.exists():
            return None
        tensors, header = read_checked(self.path)
        return (tensors, header["state"]) if header.get("identity") == self.identity else None

    def save(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Replace the checkpoint; a kill during the call leaves the previous one.

        Args:
            tensors: what is kept, by name; they are copied.
            state: what else the work needs to go on, fit for JSON.
        """
        if self.path is not None:
            self._lock = hold(self.path)
            write_checked(self.path, tensors, {"identity": self.identity, "state": state})

    def remove(self) -> None:
        """The work is done and its results are written."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.release()


def write_checked(path: str | Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """As `fishbone.files.write_tensors`, with a checksum of tensors and header in the header."""
    write_tensors(path, tensors, {**header, "sha256": _checksum(tensors, header)})


def read_checked(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Inverse of `write_checked`; the header is empty where an earlier version wrote it, without a checksum.

    Raises:
        InputError: the file is damaged.
    """
    remedy = f"Delete {path} and run again."
    try:
        tensors, header = read_tensors(path)
    except InputError:
        raise InputError("is damaged: it cannot be read as safetensors", file=path, remedy=remedy) from None
    if header.keys() == {"identity", "state"}:
        return {}, {}
    if header.pop("sha256", None) != _checksum(tensors, header):
        raise InputError("is damaged: its content does not have its checksum", file=path, remedy=remedy)
    return tensors, header


def _checksum(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
