"""What pruning costs: wall time and memory above what the process held before."""

import ctypes
import os
import time
from pathlib import Path
from threading import Event, Thread
from typing import Self

PAGES = Path("/proc/self/statm")


class Meter:
    """Measures ``with meter:`` stretches of work, one or several.

    The resident set is sampled every 10 ms from Linux' ``/proc``. Memory that the process has freed but not handed
    back is handed back before each stretch, so that it does not count.

    Attributes:
        seconds: wall time of all stretches together.
        peak_bytes: the greatest resident set in any of them above that when the meter was made; None before the first
            stretch, and where there is no ``/proc``.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.peak_bytes: int | None = None
        hand_back()
        self._base = _resident()

    def __enter__(self) -> Self:
        self._done = Event()
        self._watcher = Thread(target=self._watch, daemon=True)
        hand_back()
        self._watcher.start()
        self._begun = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._begun
        self._done.set()
        self._watcher.join()
        self._sample()

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self._sample()

    def _sample(self) -> None:
        if self._base is not None and (present := _resident()) is not None:
            self.peak_bytes = max(self.peak_bytes or 0, present - self._base)


def _resident() -> int | None:
    if not PAGES.exists():
        return None
    return int(PAGES.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def hand_back() -> None:
    """Give freed memory back to the system, which glibc does by itself only in part; elsewhere nothing happens."""
    if PAGES.exists() and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
