"""An image folder: ``ROOT/CLASS/*.png`` or ``ROOT/{train,test}/CLASS/*.png``, in PNG, JPEG or WebP.

``val``, ``valid`` or ``validation`` serves as the test split if there is no ``test``, else it belongs to the training
images. Images may lie at any depth below their class. Classes are numbered in the order of their names, images are
ordered by path.
"""

from pathlib import Path

from fishbone.data.decode import SUFFIXES, Encoded, decoded
from fishbone.data.filetree import digest, folder_files
from fishbone.data.raw import RawData, Request
from fishbone.data.roots import locate
from fishbone.errors import InputError

SPLITS = ("test", "val", "valid", "validation")


def read(request: Request) -> RawData:
    """All images of a folder.

    Raises:
        InputError: a file that is no image or lies in no class, a class that only the test split has, a damaged image.
    """
    root = locate(request)
    files = folder_files(root)
    tops = {name.split("/")[0] for name in files if "/" in name}
    whole = not ("train" in tops and tops <= {"train", *SPLITS})
    held_out = None if whole else next((split for split in SPLITS if split in tops), None)
    grouped: dict[bool, list[tuple[str, str]]] = {True: [], False: []}  # held out → (class, file)
    for name in files:
        parts = name.split("/")
        if len(parts) > (1 if whole else 2):
            _check_image(root / name)
            grouped[parts[0] == held_out].append((parts[0 if whole else 1], name))
        elif name.lower().endswith(SUFFIXES):
            raise InputError("image in no class folder", file=root / name, remedy="Move it into its class's folder.")
    class_names = sorted({group for group, _ in grouped[False]})
    training, test = (
        [
            Encoded(files[name], _label(group, class_names, root / name), root / name, None)
            for group, name in grouped[part]
        ]
        for part in (False, True)
    )
    return decoded(training, test if held_out else None, tuple(class_names), {"**": digest(files)}, request.threads)


def _check_image(path: Path) -> None:
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(
            "not an image file",
            file=path,
            field="suffix",
            value=path.suffix,
            remedy=f"Class folders hold only {', '.join(SUFFIXES)} files; convert it or move it away.",
        )


def _label(group: str, class_names: list[str], path: Path) -> int:
    if group not in class_names:
        raise InputError(
            "class has no training image", file=path, field="class", value=group, remedy="Add some, or remove this one."
        )
    return class_names.index(group)
