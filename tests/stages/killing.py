"""Run a stage as its own process and kill it, as a power cut would."""

import subprocess
import sys
import time
from pathlib import Path

from fishbone.files import sha256


def run(arguments: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "fishbone", *arguments], check=True, capture_output=True)


def kill_when(arguments: list[str], happened, seconds: float = 60) -> None:
    """Start a stage and send SIGKILL as soon as ``happened()``; fails if the stage ends before that."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fishbone", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, f"ended too early: {process.stderr.read().decode()}"
        assert time.monotonic() < deadline, "did not get that far"
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert process.returncode == -9


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in sorted(folder.iterdir())}
