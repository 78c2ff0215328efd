"""The data in CIFAR-10's Python batches, without letting a pickle choose what is called.

A pickle may name any importable function and have it called. Here every name resolves to one of three stand-ins
below, or to an error: neither numpy's nor anybody else's code can be reached. What comes out is dicts, lists, bytes,
integers and uint8 arrays. The batches are checked by their official hash before they come here as well.
"""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fishbone.data.raw import REPLACE
from fishbone.errors import InputError


class _Array:
    """Stands for a numpy array while its state is set; ``values`` is the array."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, kind, fortran_order, data = state
        if not isinstance(kind, _UInt8):
            raise pickle.UnpicklingError("an array that is not uint8")
        self.values = np.frombuffer(data, dtype=np.uint8).reshape(shape, order="F" if fortran_order else "C")


class _UInt8:
    """Stands for ``numpy.dtype("u1")``."""

    def __init__(self, name: bytes | str, _align: int = 0, _copy: int = 1):
        if name not in (b"u1", "u1"):
            raise pickle.UnpicklingError(f"an array of {name!r}")

    def __setstate__(self, _state: tuple[Any, ...]) -> None:
        """A dtype's state holds byte order and fields; uint8 has neither."""


def _reconstruct(_type: type, _shape: tuple[int, ...], _kind: bytes) -> _Array:
    return _Array()


STAND_INS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _UInt8,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """What may stand for this name; nothing is imported."""
        if (module, name) not in STAND_INS:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return STAND_INS[module, name]


def read_batch(data: bytes, file: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """The ``data`` (N, 3072) uint8 and ``labels`` (N,) int64 of one batch.

    Raises:
        InputError: not such a batch, or a pickle that asks for anything else than uint8 arrays.
    """
    try:
        batch = _Unpickler(io.BytesIO(data), encoding="bytes").load()
        return batch[b"data"].values, np.array(batch[b"labels"], dtype=np.int64)
    except Exception as error:  # a damaged pickle raises nearly any type
        raise InputError(
            f"not a CIFAR-10 batch of plain data: {type(error).__name__}: {error}", file=file, remedy=REPLACE
        ) from None
