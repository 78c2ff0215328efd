"""Another process that holds a lock until it is killed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOLDER = "import sys; from fishbone.locking import hold; lock = hold(sys.argv[1]); print('held', flush=True); input()"


@contextmanager
def other_process(path: Path) -> Iterator[subprocess.Popen]:
    """Holds ``path``."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
