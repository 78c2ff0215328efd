"""MNIST and Fashion-MNIST: four idx files each, gzipped or not.

An idx file is a big-endian header (two zero bytes, 0x08 for uint8, the number of axes, then one uint32 per axis)
and the values. Hosts and Debian's ``dataset-fashion-mnist`` compress the same content differently, so local copies
are checked by the MD5 of the content and downloads by the MD5 of the official ``.gz``.
"""

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from fishbone.data.raw import REPLACE, RawData, Request, labelled
from fishbone.data.roots import OfficialFile, check_md5, download, find
from fishbone.errors import InputError
from fishbone.files import sha256


@dataclass(frozen=True)
class IdxSource:
    """One data set in idx files.

    Args:
        url: official folder of the ``.gz`` files.
        md5: by idx name: (MD5 of ``NAME.gz``, MD5 of its content), in the order of `NAMES`.
        class_names: the names of labels 0, 1, …
        subfolders: of a root, beside the source's own name, where other tools keep the files.
        system: folder where a package of the system puts them.
    """

    url: str
    md5: Mapping[str, tuple[str, str]]
    class_names: tuple[str, ...]
    subfolders: tuple[str, ...]
    system: tuple[str, ...]


NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

MNIST = IdxSource(
    url="https://ossci-datasets.s3.amazonaws.com/mnist",
    md5={
        NAMES[0]: ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
        NAMES[1]: ("d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
        NAMES[2]: ("9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
        NAMES[3]: ("ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
    },
    class_names=tuple("0123456789"),
    subfolders=("MNIST/raw",),
    system=(),
)
FASHION_MNIST = IdxSource(
    url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    md5={
        NAMES[0]: ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
        NAMES[1]: ("25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"),
        NAMES[2]: ("bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"),
        NAMES[3]: ("bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"),
    },
    class_names=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    subfolders=("FashionMNIST/raw",),
    system=("/usr/share/datasets/fashion-mnist",),
)


def read(source: IdxSource, request: Request) -> RawData:
    """Training and test images (N, 28, 28, 1) in official order.

    Raises:
        InputError: a file cannot be had, is damaged, or contradicts its partner.
    """
    paths = {name: _obtain(source, request, name) for name in NAMES}
    contents = {name: _content(path) for name, path in paths.items()}
    for name, path in paths.items():
        check_md5(contents[name], source.md5[name][1], path)
    arrays = [parse(contents[name], axes, paths[name]) for name, axes in zip(NAMES, (3, 1, 3, 1), strict=True)]
    classes = len(source.class_names)
    training = labelled(arrays[0], arrays[1], classes, paths[NAMES[1]])
    test = labelled(arrays[2], arrays[3], classes, paths[NAMES[3]])
    return RawData(training, test, source.class_names, {path.name: sha256(path) for path in paths.values()})


def _obtain(source: IdxSource, request: Request, name: str) -> Path:
    local = replace(request, roots=(*request.roots, *source.system))
    for spelling in (f"{name}.gz", name):
        if path := find(local, spelling, source.subfolders):
            return path
    return download(request, OfficialFile(f"{name}.gz", source.md5[name][0], f"{source.url}/{name}.gz"))


def _content(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot be decompressed: {error}", file=path, remedy=REPLACE) from None


def parse(content: bytes, axes: int, file: str | Path) -> np.ndarray:
    """The uint8 array in an idx file's ``content``, which must have so many ``axes``.

    Raises:
        InputError: wrong magic number, or more or fewer values than the header says.
    """
    magic = bytes((0, 0, 0x08, axes))
    if content[:4] != magic:
        raise InputError(
            f"not an idx file of {axes} axes of uint8, which starts with {magic.hex()}",
            file=file,
            field="magic number",
            value=content[:4].hex(),
            remedy=REPLACE,
        )
    start = 4 + 4 * axes
    shape = np.frombuffer(content[4:start].ljust(start - 4, b"\0"), dtype=">u4").astype(np.int64)
    if len(content) - start != shape.prod():
        raise InputError(
            f"header announces {shape.prod()} values of shape {tuple(shape.tolist())}",
            file=file,
            field="values",
            value=len(content) - start,
            remedy=REPLACE,
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


mnist = partial(read, MNIST)
fashion_mnist = partial(read, FASHION_MNIST)
