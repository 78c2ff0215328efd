"""CIFAR-10 in the layouts that people have: 50,000 + 10,000 images (N, 32, 32, 3) of ten classes.

Searched in this order: the official binary archive, the official Python archive, either one extracted, and the Hub's
parquet files in ``ROOT/cifar10``. If none is there the binary archive is downloaded: it holds the same images in the
same order as the Python one and nothing in it is a pickle. Every official layout gives the same bits.
"""

import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from fishbone.data.raw import REPLACE, Labelled, RawData, Request, labelled
from fishbone.data.roots import OfficialFile, check_md5, find, folders, obtain
from fishbone.data.sources import parquet
from fishbone.data.sources.plain_pickle import read_batch
from fishbone.errors import InputError
from fishbone.files import sha256

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Layout:
    """One official archive.

    Args:
        archive: the file as published.
        folder: the folder that it extracts to.
        members: batch name → its MD5, or ``None`` where none is published; the last is the test batch.
        parse: (bytes, file) → (pixels (N, 3072) uint8, labels (N,)).
    """

    archive: OfficialFile
    folder: str
    members: Mapping[str, str | None]
    parse: Callable[[bytes, Path], tuple[np.ndarray, np.ndarray]]


def read_binary(data: bytes, file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Rows of one label byte and 3072 pixel bytes."""
    if not data or len(data) % (PIXELS + 1):
        raise InputError(
            f"not whole rows of {PIXELS + 1} bytes", file=file, field="size", value=len(data), remedy=REPLACE
        )
    rows = np.frombuffer(data, dtype=np.uint8).reshape(-1, PIXELS + 1)
    return rows[:, 1:], rows[:, 0]


HOST = "https://www.cs.toronto.edu/~kriz"
BINARY = Layout(
    OfficialFile("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", f"{HOST}/cifar-10-binary.tar.gz"),
    "cifar-10-batches-bin",
    dict.fromkeys([*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]),
    read_binary,
)
PYTHON = Layout(
    OfficialFile("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", f"{HOST}/cifar-10-python.tar.gz"),
    "cifar-10-batches-py",
    {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
    read_batch,
)


def read(layouts: tuple[Layout, ...], request: Request) -> RawData:
    """Read the first layout that is there; download the first one's archive if none is.

    Raises:
        InputError: a file cannot be had, is damaged, or holds something else.
    """
    for layout in layouts:
        if find(request, layout.archive.name):
            return _from_archive(layout, request)
    for layout in layouts:
        if folder := find(request, layout.folder):
            return _from_folder(layout, folder)
    for root in folders(request):
        if parquet.shards(root / request.kind):
            return parquet.read_folder(root / request.kind, CLASS_NAMES, request.threads)
    return _from_archive(layouts[0], request)


def _from_archive(layout: Layout, request: Request) -> RawData:
    path = obtain(request, layout.archive)
    contents = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = Path(member.name).name
                if name in layout.members and member.isfile() and (file := archive.extractfile(member)):
                    contents[name] = file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot be read as .tar.gz: {error}", file=path, remedy=REPLACE) from None
    return _join(layout, contents, path, {path.name: sha256(path)})


def _from_folder(layout: Layout, folder: Path) -> RawData:
    contents, files = {}, {}
    for name, md5 in layout.members.items():
        path = folder / name
        if path.is_file():
            contents[name] = path.read_bytes()
            files[name] = sha256(path)
            if md5:
                check_md5(contents[name], md5, path)
    return _join(layout, contents, folder, files)


def _join(layout: Layout, contents: Mapping[str, bytes], place: Path, files: dict[str, str]) -> RawData:
    batches = []
    for name in layout.members:
        if name not in contents:
            raise InputError("batch is missing", file=place, field=name, remedy=REPLACE)
        batches.append(_images(*layout.parse(contents[name], place / name), place / name))
    images, labels = (
        np.concatenate([getattr(batch, field) for batch in batches[:-1]]) for field in ("images", "labels")
    )
    return RawData(Labelled(images, labels), batches[-1], CLASS_NAMES, files)


def _images(pixels: np.ndarray, labels: np.ndarray, file: Path) -> Labelled:
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return labelled(images, labels, len(CLASS_NAMES), file)


cifar10 = partial(read, (BINARY, PYTHON))
