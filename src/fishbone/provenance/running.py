"""One run of a study at a time, and no process left behind.

The lock is a file that the operating system frees when its holders end, however they end; Snakemake inherits it from
`fishbone reproduce`, or takes it itself when a person starts it. Snakemake's own locks outlive a killed run, so
`fishbone reproduce` does without them.
"""

import fcntl
import json
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from fishbone.errors import InputError

HELD = "FISHBONE_STUDY_LOCK"
"""Environment variable: path of the lock that a parent process holds."""
PATIENCE = 10.0
"""Seconds between asking processes to end and ending them."""


def acquire(study: str, root: Path = Path()) -> int | None:
    """Hold the study until this process, and those that inherit the descriptor, have ended.

    Returns:
        The file descriptor; None where a parent process holds the study for this one.

    Raises:
        InputError: somebody else holds it; says who, and since when.
    """
    path = (root / ".snakemake" / "fishbone" / f"{study}.lock").absolute()
    if os.environ.get(HELD) == str(path):
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise InputError(
            f"is being run by {_holder(path)}", field=f"study {study}", remedy="Wait for it, or end that process first."
        ) from None
    text = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    os.ftruncate(descriptor, 0)
    os.write(descriptor, json.dumps(text).encode())
    os.environ[HELD] = str(path)
    return descriptor


def _holder(path: Path) -> str:
    with suppress(OSError, ValueError, KeyError):
        told = json.loads(path.read_text(encoding="utf-8"))
        return f"process {told['process']} on {told['host']} since {told['since']}"
    return "another process"


def run(command: list[str], environment: dict[str, str], descriptor: int | None) -> int:
    """Exit code of a command that runs in a process group of its own, which ends with this process.

    SIGTERM, SIGINT and SIGHUP end the whole group: first they are asked to, then made to; then this process ends.
    """
    kept = () if descriptor is None else (descriptor,)
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
