"""Progress of long work in one file, so that a killed process resumes to the bit-identical end.

The file is ``.safetensors`` (tensors) with a JSON header (``state``: counters and history, and the ``identity``
of the work). A checkpoint of other work — other parameters, inputs or seed — is ignored, never resumed.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from fishbone.files import read_tensors, write_tensors


class Checkpoint:
    """Where progress is kept; ``path`` None keeps none.

    Args:
        path: file to write; its folder is made.
        identity: JSON-able description of everything that decides the result (parameters, input hashes, seed).
    """

    def __init__(self, path: str | Path | None, identity: Mapping):
        self.path = None if path is None else Path(path)
        self.identity = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def load(self) -> tuple[dict[str, Tensor], dict] | None:
        """(tensors, state) of this very work, or None where there is nothing to resume."""
        if self.path is None or not self.path.exists():
            return None
        tensors, header = read_tensors(self.path)
        return (tensors, header["state"]) if header.get("identity") == self.identity else None

    def save(self, tensors: Mapping[str, Tensor], state: Mapping) -> None:
        """Replace the checkpoint; a kill during the call leaves the previous one."""
        if self.path is not None:
            write_tensors(self.path, tensors, {"identity": self.identity, "state": state})

    def remove(self) -> None:
        """The work is done and its results are written."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
