"""The canonical data set: one ``.npz`` that every stage reads.

Arrays in the file: ``images`` (N, H, W, C) uint8; ``labels`` (N,) int64; ``train``, ``validation``
and ``test``: disjoint int64 indices into the first axis; ``class_names`` (K,) unicode;
``mean`` and ``std`` (C,) float32 of the train split's pixels scaled to [0, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fishbone.data.images import normalise
from fishbone.errors import InputError
from fishbone.files import sha256, write_npz

if TYPE_CHECKING:
    from torch import Tensor

SPLITS = ("train", "validation", "test")
FIELDS = ("images", "labels", *SPLITS, "class_names", "mean", "std")


@dataclass(frozen=True)
class Dataset:
    """A prepared data set, with arrays as the module's docstring has them.

    ``name`` is the file's stem and ``digest`` its SHA-256.
    """

    name: str
    digest: str
    images: np.ndarray
    labels: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    class_names: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        _, height, width, channels = self.images.shape
        return channels, height, width

    def normalise(self, images: np.ndarray) -> np.ndarray:
        """uint8 (N, H, W, C) → float32 (N, C, H, W), zero mean and unit variance per channel."""
        return normalise(images, self.mean, self.std)

    def split(self, name: str) -> "tuple[Tensor, Tensor]":
        """(inputs (N, C, H, W) float32 normalised, labels (N,) int64) as torch tensors.

        Args:
            name: ``train``, ``validation`` or ``test``.
        """
        import torch  # here, as data are prepared and measured without it

        indices = getattr(self, name)
        return torch.from_numpy(self.normalise(self.images[indices])), torch.from_numpy(self.labels[indices])


def save_dataset(
    path: str | Path,
    *,
    images: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    test: np.ndarray,
    class_names: Sequence[str],
) -> None:
    """Write the canonical file; mean and standard deviation come from the train split alone.

    Args:
        path: where the ``.npz`` is written.
        images: (N, H, W, C) uint8 images of all splits.
        labels: (N,) class of each image, from 0.
        train, validation, test: positions in ``images``, disjoint, none empty.
        class_names: a name for each class, in the order of their numbers.
    """
    counts = _histogram(images, train)
    levels = np.arange(256) / 255
    pixels = counts[0].sum()
    mean = counts @ levels / pixels
    std = np.sqrt(np.maximum(counts @ levels**2 / pixels - mean**2, 1e-12))
    write_npz(
        path,
        {
            "images": images.astype(np.uint8, copy=False),
            "labels": labels.astype(np.int64),
            "train": train.astype(np.int64),
            "validation": validation.astype(np.int64),
            "test": test.astype(np.int64),
            "class_names": np.array(class_names, dtype=np.str_),
            "mean": mean.astype(np.float32),
            "std": std.astype(np.float32),
        },
    )


def _histogram(images: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """(C, 256) float64: how often each channel has each value; by blocks, to need little memory."""
    counts = np.zeros((images.shape[-1], 256))
    for start in range(0, len(indices), 4096):
        pixels = images[indices[start : start + 4096]].reshape(-1, images.shape[-1])
        counts += [np.bincount(channel, minlength=256) for channel in pixels.T]
    return counts


def load_dataset(path: str | Path) -> Dataset:
    """Read a canonical file.

    Raises:
        InputError: the file is missing, not an ``.npz``, or lacks an array.
    """
    path = Path(path)
    remedy = "Make it with `fishbone prepare`."
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [field for field in FIELDS if field not in file]
            if missing:
                raise InputError("array is missing", file=path, field=missing[0], remedy=remedy)
            arrays = {field: file[field] for field in FIELDS}
    except FileNotFoundError:
        raise InputError("file is missing", file=path, remedy=remedy) from None
    except (ValueError, OSError) as error:
        raise InputError(f"not a data set: {error}", file=path, remedy=remedy) from None
    arrays["class_names"] = tuple(str(name) for name in arrays["class_names"])
    return Dataset(name=path.stem, digest=sha256(path), **arrays)


def summary(dataset: Dataset) -> dict[str, Any]:
    """What a person wants to know of a data set, fit for JSON: sizes, classes, normalisation, hash."""
    labels = {name: dataset.labels[getattr(dataset, name)] for name in SPLITS}
    return {
        "sha256": dataset.digest,
        "shape": list(dataset.images.shape[1:]),
        "class_names": list(dataset.class_names),
        "counts": {name: len(members) for name, members in labels.items()},
        "class_counts": {
            name: np.bincount(members, minlength=dataset.classes).tolist() for name, members in labels.items()
        },
        "mean": [round(float(value), 6) for value in dataset.mean],
        "std": [round(float(value), 6) for value in dataset.std],
    }
