"""What a reader of a data source is asked for and what it returns.

A reader takes a `Request` and gives `RawData`: images (N, H, W, C) uint8 and labels (N,) int64 as the source
orders them, the official test split if the source has one, the names of the classes and the SHA-256 of every
raw file. `labelled` is the one check of content that every reader passes its arrays through.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fishbone.errors import InputError

REPLACE = "Replace the file with an undamaged copy."


@dataclass(frozen=True)
class Request:
    """Which source to read, and where from.

    Args:
        kind: name of the reader.
        path: file or folder of a generic layout, absolute or relative to a root; ``None`` for a named source.
        roots: folders or mirror URLs, in the order in which they are searched.
        threads: how many images are decoded at once.
    """

    kind: str
    path: str | None
    roots: tuple[str, ...]
    threads: int


@dataclass(frozen=True)
class Labelled:
    """Images with their classes: ``images`` (N, H, W, C) uint8, C = 1 or 3; ``labels`` (N,) int64 in [0, classes)."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class RawData:
    """What a reader found; ``files`` maps each raw file's name, relative to where it was found, to its SHA-256."""

    training: Labelled
    test: Labelled | None
    class_names: tuple[str, ...]
    files: dict[str, str]

    def __post_init__(self) -> None:
        if self.test and self.test.images.shape[1:] != self.training.images.shape[1:]:
            raise InputError(
                f"test images have another shape than training images {self.training.images.shape[1:]}",
                file=", ".join(sorted(self.files)),
                field="images",
                value=self.test.images.shape[1:],
                remedy="Give both splits the same height, width and channels.",
            )


def labelled(images: np.ndarray, labels: np.ndarray, classes: int, file: str | Path) -> Labelled:
    """Check one file's images and labels against each other.

    Args:
        images: (N, H, W, C) or (N, H, W).
        labels: (N,), any integer type.
        classes: labels are in [0, classes).
        file: named in the error.

    Raises:
        InputError: wrong type or shape, no image, other lengths, or a label outside the classes (names the row).
    """
    given = f"{images.dtype} {images.shape}"
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise InputError(
            "images are not uint8 of shape (N, height, width, 1 or 3 channels)",
            file=file,
            field="images",
            value=given,
            remedy="Store grey levels or RGB as integers from 0 to 255, channels last.",
        )
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise InputError(
            "labels are not a list of integers",
            file=file,
            field="labels",
            value=f"{labels.dtype} {labels.shape}",
            remedy="Number the classes from 0.",
        )
    if len(images) != len(labels):
        raise InputError(f"{len(images)} images but {len(labels)} labels", file=file, field="labels", remedy=REPLACE)
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if outside.size:
        row = int(outside[0])
        raise label_outside(int(labels[row]), classes, file, f"row {row}")
    return Labelled(images, labels.astype(np.int64))


def numbered(labels: Iterable[int | None]) -> tuple[str, ...]:
    """Names for classes that have none: their numbers. There are never more classes than labels."""
    known = [label for label in labels if label is not None]
    return tuple(str(label) for label in range(min(max(known, default=0) + 1, len(known))))


def label_outside(
    label: int | None, classes: int, file: str | Path | None, row: str | None, first: int = 0
) -> InputError:
    """The error for a label that is no class.

    Args:
        label: as it stands in the source; None where there is none.
        classes: how many there are.
        file: that holds the label.
        row: which of the file's rows, if it has any.
        first: number of the first class.
    """
    return InputError(
        f"label is not one of the {classes} classes",
        file=file,
        field=f"{row}, label" if row else "label",
        value=label,
        remedy=f"Labels are integers from {first} to {first + classes - 1}.",
    )
