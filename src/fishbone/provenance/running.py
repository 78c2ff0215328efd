"""One run of a study at a time, and no process left behind.

The lock is a file that the operating system frees when its holders end, however they end; Snakemake inherits it from
`fishbone reproduce`, or takes it itself when a person starts it. Snakemake's own locks outlive a killed run, so
`fishbone reproduce` does without them.
"""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from fishbone.locking import Lock, hold

HELD = "FISHBONE_STUDY_LOCK"
"""Environment variable: what a parent process holds for this one."""
PATIENCE = 10.0
"""Seconds between asking processes to end and ending them."""


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


def run(command: list[str], environment: dict[str, str], lock: Lock | None) -> int:
    """Exit code of a command that runs in a process group of its own, which ends with this process.

    SIGTERM, SIGINT and SIGHUP end the whole group: first they are asked to, then made to; then this process ends.
    """
    kept = () if lock is None else (lock.handle,)
    child = subprocess.Popen(command, env=environment, pass_fds=kept, start_new_session=True)

    def end(number, _frame):
        raise SystemExit(128 + number)

    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, end) for number in signals}
    try:
        return child.wait()
    except BaseException:
        _end(child)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(child: subprocess.Popen) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            child.poll()
            os.killpg(child.pid, 0)  # raises once the group is empty
            time.sleep(0.05)
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
