"""Encoded images (PNG, JPEG, WebP) → one uint8 array (N, H, W, C), decoded by several threads.

Pillow releases the interpreter's lock while it decodes. All images must have one size. The result is grey (C = 1) if
every image is; otherwise grey images are repeated over the three channels, and alpha is dropped.
"""

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fishbone.data.raw import REPLACE, Labelled, RawData, label_outside
from fishbone.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
FORMATS = ("PNG", "JPEG", "WEBP")
GREY_MODES = ("1", "L", "LA")
COLOUR_MODES = ("RGB", "RGBA", "P", "CMYK", "YCbCr")
CHUNK = 256


@dataclass(frozen=True, slots=True)
class Encoded:
    """One labelled image: ``load()`` gives its bytes; ``file`` and ``field`` say in an error which one it is."""

    load: Callable[[], bytes]
    label: int
    file: str | Path
    field: str | None


def decoded(
    training: Sequence[Encoded],
    test: Sequence[Encoded] | None,
    class_names: tuple[str, ...],
    files: dict[str, str],
    threads: int,
) -> RawData:
    """Check the labels, then decode both splits together, so that they have the same channels.

    Raises:
        InputError: no training image, a label outside the classes, or what `decode` raises.
    """
    items = [*training, *(test or ())]
    classes = len(class_names)
    for item in items:
        if item.label is None or not 0 <= item.label < classes:
            raise label_outside(item.label, classes, item.file, item.field)
    if not training:
        raise InputError("no training image", file=", ".join(files), remedy="Add images.")
    images = decode(items, threads)
    labels = np.array([item.label for item in items], dtype=np.int64)
    border = len(training)
    held_out = None if test is None else Labelled(images[border:], labels[border:])
    return RawData(Labelled(images[:border], labels[:border]), held_out, class_names, files)


def decode(items: Sequence[Encoded], threads: int) -> np.ndarray:
    """Decode all images.

    Raises:
        InputError: an image is damaged, has another size than the first, or not 8 bits a channel.
    """
    from tqdm import tqdm  # here, as parameters name the sources, and need none of their libraries

    height, width, _ = _pixels(items[0], None)[0].shape
    images = np.empty((len(items), height, width, 3), dtype=np.uint8)
    grey = np.empty(len(items), dtype=bool)

    def fill(start: int) -> None:
        for row in range(start, min(start + CHUNK, len(items))):
            images[row], grey[row] = _pixels(items[row], (width, height))

    starts = range(0, len(items), CHUNK)
    with ThreadPoolExecutor(threads) as pool:
        for _ in tqdm(pool.map(fill, starts), total=len(starts), desc="decode", unit=f"×{CHUNK}", disable=None):
            pass
    return np.ascontiguousarray(images[..., :1]) if grey.all() else images


def _pixels(item: Encoded, size: tuple[int, int] | None) -> tuple[np.ndarray, bool]:
    """RGB (H, W, 3) and whether the image is grey; the size is checked before the pixels are decoded."""
    from PIL import Image  # here: see `decode`

    try:
        with Image.open(io.BytesIO(item.load()), formats=FORMATS) as image:
            found, mode = image.size, image.mode
            sound = mode in GREY_MODES + COLOUR_MODES and found == (size or found)
            pixels = np.asarray(image.convert("RGB")) if sound else None
    except Exception as error:  # Pillow's decoders raise many types on damaged bytes
        raise InputError(
            f"image cannot be decoded: {error}", file=item.file, field=item.field, remedy=REPLACE
        ) from None
    if pixels is None:
        raise InputError(
            f"image is not {size[0]}×{size[1]} like the first, or not 8 bits a channel"
            if size
            else "image is not 8 bits a channel",
            file=item.file,
            field=item.field,
            value=f"{found[0]}×{found[1]} {mode}",
            remedy="Bring all images to one size, 8 bits grey or RGB.",
        )
    return pixels, mode in GREY_MODES
