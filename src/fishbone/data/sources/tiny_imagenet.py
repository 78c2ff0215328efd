"""TinyImageNet-200, the official zip or its extracted folder: 100,000 + 10,000 images (N, 64, 64, 3).

Training images are ``train/WNID/images/*.JPEG``; ``val/val_annotations.txt`` gives the wnid of each image in
``val/images``. The official test images have no labels, so the official validation split is the test split here.
Classes are numbered in the order of their wnids.
"""

from functools import partial
from pathlib import Path

from fishbone.data.decode import Encoded, decoded
from fishbone.data.filetree import Files, digest, folder_files, zip_files
from fishbone.data.raw import REPLACE, RawData, Request
from fishbone.data.roots import OfficialFile, find, obtain
from fishbone.errors import InputError
from fishbone.files import sha256

FOLDER = "tiny-imagenet-200"
ARCHIVE = OfficialFile(f"{FOLDER}.zip", "90528d7ca1a48142e341f4ef8d21d0de", f"http://cs231n.stanford.edu/{FOLDER}.zip")
ANNOTATIONS = "val/val_annotations.txt"


def read(archive: OfficialFile, request: Request) -> RawData:
    """The zip if it is in a root, else the folder, else the zip downloaded.

    Raises:
        InputError: a file cannot be had or is damaged, or images and annotations do not match.
    """
    folder = find(request, FOLDER)
    if folder and not find(request, archive.name):
        files = _labelled_part(folder_files(folder))
        return _read(files, folder, {f"{FOLDER}/{{train,val}}/**": digest(files)}, request.threads)
    path = obtain(request, archive)
    files = {name.removeprefix(f"{FOLDER}/"): load for name, load in zip_files(path).items()}
    return _read(_labelled_part(files), path, {path.name: sha256(path)}, request.threads)


def _labelled_part(files: Files) -> Files:
    return {name: load for name, load in files.items() if name.startswith(("train/", "val/"))}


def _read(files: Files, place: Path, hashes: dict[str, str], threads: int) -> RawData:
    images = [name for name in files if name.endswith(".JPEG")]
    wnids = sorted({name.split("/")[1] for name in images if name.startswith("train/")})
    number = {wnid: label for label, wnid in enumerate(wnids)}
    training = [
        Encoded(files[name], number[name.split("/")[1]], place / name, None)
        for name in images
        if name.startswith("train/")
    ]
    annotated = _annotations(files, number, place)
    held_out = [name for name in images if name.startswith("val/")]
    if set(held_out) != set(annotated):
        odd = sorted(set(held_out) ^ set(annotated))[0]
        raise InputError("image without annotation, or the reverse", file=place / odd, remedy=REPLACE)
    test = [Encoded(files[name], annotated[name], place / name, None) for name in held_out]
    return decoded(training, test, tuple(wnids), hashes, threads)


def _annotations(files: Files, number: dict[str, int], place: Path) -> dict[str, int]:
    if ANNOTATIONS not in files:
        raise InputError("file is missing", file=place / ANNOTATIONS, remedy=REPLACE)
    labels = {}
    for row, line in enumerate(files[ANNOTATIONS]().decode("utf-8", "replace").splitlines(), start=1):
        name, wnid, *_box = [*line.split("\t"), ""]
        if wnid not in number:
            raise InputError(
                "wnid is not among the training images'",
                file=place / ANNOTATIONS,
                field=f"line {row}",
                value=wnid,
                remedy=REPLACE,
            )
        labels[f"val/images/{name}"] = number[wnid]
    return labels


tiny_imagenet = partial(read, ARCHIVE)
