"""Where a source's raw files come from: local folders, mirrors, the download cache, the official host.

A root is a folder or a URL prefix. A file of source ``mnist`` is searched in each root as ``mnist/NAME`` and as
``NAME``; what is not in a local folder is downloaded with pooch, which keeps a file only if its MD5 is the official
one. MD5 guards against damage here, not against forgery: it is what the sources' authors publish.
"""

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

from fishbone.data.raw import REPLACE, Request
from fishbone.errors import ArgumentError, InputError


@dataclass(frozen=True)
class OfficialFile:
    """A published file: its name, the hex MD5 of its bytes and its official address."""

    name: str
    md5: str
    url: str


def folders(request: Request) -> list[Path]:
    """The roots that are folders, in the order of search."""
    return [Path(root).expanduser() for root in request.roots if "://" not in root]


def find(request: Request, name: str, subfolders: tuple[str, ...] = ()) -> Path | None:
    """The first ``ROOT/KIND/name``, ``ROOT/SUBFOLDER/name`` or ``ROOT/name`` that exists."""
    places = [folder / part / name for folder in folders(request) for part in (request.kind, *subfolders, "")]
    return next((place for place in places if place.exists()), None)


def locate(request: Request) -> Path:
    """The file or folder that a generic layout's ``path`` means: in a root, or from the current folder.

    Args:
        request: of a generic layout, and so with a path.

    Raises:
        InputError: it is in none of them.
    """
    if request.path is None:
        raise ArgumentError(f"a source of kind {request.kind} needs a path")
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


def check_md5(data: bytes, md5: str, file: Path) -> None:
    """Raise `InputError` unless ``data`` are the official bytes."""
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != md5:
        raise InputError(
            f"damaged, or not the official file, whose MD5 is {md5}",
            file=file,
            field="MD5",
            value=found,
            remedy=f"{REPLACE[:-1]}, or remove it to have it downloaded.",
        )


def obtain(request: Request, file: OfficialFile, subfolders: tuple[str, ...] = ()) -> Path:
    """A checked local copy: found in a root, else downloaded.

    Raises:
        InputError: a found or downloaded file is damaged, or nothing could be downloaded.
    """
    path = find(request, file.name, subfolders)
    if path is None:
        return download(request, file)
    check_md5(path.read_bytes(), file.md5, path)
    return path


def download(request: Request, file: OfficialFile) -> Path:
    """Fetch from the first mirror that has the file, else from its official address, into the cache."""
    import pooch  # here, as only what is not found is downloaded
    from requests import HTTPError, RequestException

    mirrors = [root.rstrip("/") for root in request.roots if "://" in root]
    urls = [f"{mirror}/{name}" for mirror in mirrors for name in (f"{request.kind}/{file.name}", file.name)]
    failures = []
    for url in (*urls, file.url):
        downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=1 << 16)
        folder = pooch.os_cache("fishbone") / request.kind
        try:
            return Path(pooch.retrieve(url, f"md5:{file.md5}", file.name, folder, downloader=downloader))
        except RequestException as error:
            failures.append(f"{url}: {error if isinstance(error, HTTPError) else type(error).__name__}")
        except ValueError as error:
            raise InputError(
                f"download is damaged: {str(error).split('. ')[0]}",
                file=url,
                remedy="Try again; if it stays so, the mirror holds another file.",
            ) from None
    searched = ", ".join(str(folder) for folder in folders(request)) or "a local folder (none is set)"
    raise InputError(
        f"not found in {searched}, and cannot be downloaded ({'; '.join(failures)})",
        file=file.name,
        remedy=f"Get it from {file.url} and put it in a folder; "
        "then set FISHBONE_DATA or prepare.root to that folder (or to a mirror's URL).",
    )
