"""One run of a study at a time, and no process left behind.

The lock is a file that the operating system frees when its holders end, however they end; Snakemake inherits it from
`fishbone reproduce`, or takes it itself when a person starts it. Snakemake's own locks outlive a killed run, so
`fishbone reproduce` does without them.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from fishbone.ending import ended_by_signals
from fishbone.locking import Lock, hold

HELD = "FISHBONE_STUDY_LOCK"
"""Environment variable: what a parent process holds for this one."""
STEPS = ((signal.SIGINT, 10.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
"""Signals to a group that is to end, and seconds until the next."""


def acquire(study: str, root: Path = Path()) -> Lock | None:
    """Hold the study until this process, and those that inherit the lock's handle, have ended.

    Returns:
        The lock, to be kept; None where a parent process holds the study for this one.

    Raises:
        InputError: somebody else holds it; says who, and since when.
    """
    path = (root / ".snakemake" / "fishbone" / f"study-{study}").absolute()
    if os.environ.get(HELD) == str(path):
        return None
    lock = hold(path)
    os.environ[HELD] = str(path)
    return lock


@contextmanager
def held(study: str, root: Path = Path()) -> Iterator[None]:
    """`acquire` for as long as the block lasts."""
    lock = acquire(study, root)
    try:
        yield
    finally:
        if lock:
            lock.release()
            del os.environ[HELD]


def run(command: list[str], environment: dict[str, str], lock: Lock | None) -> int:
    """Exit code of a command that runs in a process group of its own, of which nothing outlives this process.

    SIGTERM, SIGHUP and Ctrl-C end the whole group: first it is interrupted, so that Snakemake cancels what it has
    submitted, then asked to end, then made to. What an ended command leaves running is ended, too.
    """
    kept = () if lock is None else (lock.handle,)
    with ended_by_signals(), ThreadPoolExecutor(1) as thread:
        # In a thread, where no signal interrupts it between the child's start and its being known.
        started = thread.submit(subprocess.Popen, command, env=environment, pass_fds=kept, start_new_session=True)
        try:
            return started.result().wait()
        finally:
            signal.signal(signal.SIGINT, lambda *_: None)  # a second Ctrl-C would leave the rest running
            _end(started.result())
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(child: subprocess.Popen) -> None:
    with suppress(ProcessLookupError):
        for number, patience in STEPS:
            os.killpg(child.pid, number)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                child.poll()
                os.killpg(child.pid, 0)  # raises once the group is empty
                time.sleep(0.05)
