"""Where a source's raw files are looked for: the local folders among a request's roots."""

from pathlib import Path

from fishbone.data.raw import Request
from fishbone.errors import InputError


def folders(request: Request) -> list[Path]:
    """The roots that are folders, in the order of search."""
    return [Path(root).expanduser() for root in request.roots if "://" not in root]


def locate(request: Request) -> Path:
    """The file or folder that a generic layout's ``path`` means: in a root, or from the current folder.

    Raises:
        InputError: it is in none of them.
    """
    places = [*(folder / request.path for folder in folders(request)), Path(request.path).expanduser()]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise InputError(
            "no such file or folder",
            field=f"{request.kind} path",
            value=request.path,
            remedy="Give an absolute path, or one inside the folder named by FISHBONE_DATA or prepare.root.",
        )
    return found
