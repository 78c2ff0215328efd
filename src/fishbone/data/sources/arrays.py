"""An ``.npz`` of one's own.

Either ``images`` (N, H, W) or (N, H, W, C) and ``labels`` (N,) or (N, 1), or Keras's four arrays ``x_train``,
``y_train``, ``x_test``, ``y_test``. ``class_names`` (K,) text is optional; without it classes are numbered.
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from fishbone.data.raw import REPLACE, Labelled, RawData, Request, labelled, numbered
from fishbone.data.roots import locate
from fishbone.errors import InputError
from fishbone.files import sha256

LAYOUTS = (("images", "labels"), ("x_train", "y_train", "x_test", "y_test"))


def read(request: Request) -> RawData:
    """One ``.npz``; nothing in it is unpickled."""
    path = locate(request)
    arrays = _load(path)
    layout = next((keys for keys in LAYOUTS if set(keys) == set(arrays) - {"class_names"}), None)
    if layout is None:
        raise InputError(
            "unknown arrays",
            file=path,
            field="arrays",
            value=sorted(arrays),
            remedy=f"Name them {' or '.join(', '.join(keys) for keys in LAYOUTS)}; class_names may be added.",
        )
    names = _class_names(arrays, [arrays[key] for key in layout[1::2]])
    splits = [_labelled(arrays[x], arrays[y], names, path) for x, y in zip(layout[::2], layout[1::2], strict=True)]
    return RawData(splits[0], splits[1] if len(splits) == 2 else None, names, {path.name: sha256(path)})


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"cannot be read as .npz: {error}", file=path, remedy=REPLACE) from None


def _class_names(arrays: dict[str, np.ndarray], labels: list[np.ndarray]) -> tuple[str, ...]:
    if "class_names" in arrays:
        return tuple(str(name) for name in arrays["class_names"])
    return numbered(int(label) for values in labels if values.dtype.kind in "iu" for label in values.ravel())


def _labelled(images: np.ndarray, labels: np.ndarray, names: tuple[str, ...], file: Path) -> Labelled:
    column = labels.ndim == 2 and labels.shape[1] == 1
    return labelled(images, labels[:, 0] if column else labels, len(names), file)
