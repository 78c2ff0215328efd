"""One process at a time: locks that the operating system drops when their holder ends, however it ends.

A lock is held with flock(2) on a file ``NAME.lock`` beside what it protects; the file says who holds it. What killed
processes leave of them is held by nobody and is taken over. File systems without locks protect nothing.
"""

import contextlib
import fcntl
import os
import socket
import weakref
from datetime import datetime
from pathlib import Path

from fishbone.errors import InputError


class Lock:
    """Held until `release`, until nothing refers to it, or until the process ends.

    Args:
        file: the lock file, which says who holds it.
        handle: the file descriptor; a child process that inherits it holds the lock too.
    """

    def __init__(self, file: Path, handle: int):
        self.handle = handle
        self.release = weakref.finalize(self, _release, file, handle, os.getpid())


_held: weakref.WeakValueDictionary[Path, Lock] = weakref.WeakValueDictionary()


def hold(path: str | Path) -> Lock:
    """Hold ``path``, which need not exist; this process may hold it already.

    Raises:
        InputError: another process holds it, and which and since when; or nothing can be written beside it.
    """
    file = Path(f"{path}.lock").absolute()
    lock = _held.get(file)
    if lock is None or not lock.release.alive:
        try:
            lock = _held[file] = Lock(file, _acquire(file))
        except BlockingIOError:
            remedy = "Wait until it has ended, or end it."
            raise InputError(f"{_holder(file)} works on it", file=path, remedy=remedy) from None
        except OSError as error:
            remedy = "Give a place that you may write to."
            raise InputError(f"cannot be written: {error.strerror}", file=path, remedy=remedy) from None
    return lock


def try_lock(handle: int) -> bool:
    """Lock an open file; False where the file system has no locks.

    Raises:
        BlockingIOError: another process has it.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _acquire(file: Path) -> int:
    file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT)
        try:
            try_lock(handle)
        except BlockingIOError:
            os.close(handle)
            raise
        if _still_there(handle, file):
            break
        os.close(handle)  # its last holder has removed it meanwhile
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    os.ftruncate(handle, 0)
    os.write(handle, f"process {os.getpid()} on {socket.gethostname()} (since {since})".encode())
    return handle


def _holder(file: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return file.read_text(encoding="utf-8") or "another process"
    return "another process"


def _still_there(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _release(file: Path, handle: int, holder: int) -> None:
    if os.getpid() == holder:  # a fork only lets go
        file.unlink(missing_ok=True)
    os.close(handle)
