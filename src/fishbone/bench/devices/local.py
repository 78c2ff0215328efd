"""This machine: the agent as a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from fishbone.bench import agent
from fishbone.bench.devices import outcome
from fishbone.bench.devices.outcome import Outcome, understand


def run_local(
    task_file: Path, budget_seconds: float, before: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Outcome:
    """Run the agent on this machine and wait for it, a little longer than its own budget.

    Its progress goes to this process's stderr. When this ends, however it ends, so do the agent and its processes.

    Args:
        task_file: what the agent is told.
        budget_seconds: wall time after which the agent itself ends.
        before: words of the command line before the agent's own.
        environment: of the agent; by default this process's.
    """
    command = [*before, sys.executable, "-P", str(agent.AGENT), str(task_file)]
    patience = budget_seconds + outcome.GRACE_SECONDS
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True, env=environment)
    try:
        output, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        return Outcome("timeout", f"no answer within {patience:g} s")
    finally:
        with suppress(ProcessLookupError):  # nothing is left of its group
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    if process.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return Outcome("oom", "the agent was killed, most likely for its memory")
    if process.returncode:
        return Outcome("crashed", f"the agent ended with {process.returncode}")
    return understand(output)
