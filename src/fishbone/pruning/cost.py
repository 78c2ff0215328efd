"""What pruning costs: wall time and memory above what the process held before."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Fills ``{"seconds", "peak_bytes"}`` when left: wall time, and the greatest resident set above that on entry.

    The resident set is sampled every 10 ms from Linux' ``/proc``; elsewhere ``peak_bytes`` is missing.
    """
    cost: dict[str, float] = {}
    pages = Path("/proc/self/statm")
    if not pages.exists():
        begun = time.perf_counter()
        yield cost
        cost["seconds"] = time.perf_counter() - begun
        return
    base = peak = _resident(pages)
    done = Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, _resident(pages))

    watcher = Thread(target=watch, daemon=True)
    watcher.start()
    begun = time.perf_counter()
    try:
        yield cost
    finally:
        done.set()
        watcher.join()
        cost |= {"seconds": time.perf_counter() - begun, "peak_bytes": max(peak, _resident(pages)) - base}


def _resident(pages: Path) -> int:
    import resource

    return int(pages.read_text().split()[1]) * resource.getpagesize()
