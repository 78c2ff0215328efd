"""Devices: how each is reached. Whatever goes wrong on the way is an outcome with a status, not an exception.

A devices file maps names to entries with a ``kind``; ``local`` runs the agent as a process of this machine.
"""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError

from fishbone.edge import agent
from fishbone.edge.results import Measurement, Status
from fishbone.errors import InputError
from fishbone.parameters import Block

GRACE_SECONDS = 30


class Local(Block):
    """This machine."""

    kind: Literal["local"] = Field(description="how the device is reached")


@dataclass(frozen=True)
class Outcome:
    """What came of running the agent; ``measurement`` is None unless ``status`` is ok."""

    status: Status
    message: str | None = None
    measurement: Measurement | None = None


def read_devices(path: str | Path | None) -> dict[str, Local]:
    """Name → device; without a file, this machine as ``local``.

    Raises:
        InputError: the file is missing, no YAML mapping, or an entry is wrong.
    """
    if path is None:
        return {"local": Local(kind="local")}
    remedy = "Give a name and a `kind` for each device."
    try:
        entries = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("file is missing", file=path, remedy="Name it with --devices.") from None
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML: {error}", file=path, remedy="Mend the line that it names.") from None
    if not isinstance(entries, dict) or not entries:
        raise InputError("holds no devices", file=path, value=entries, remedy=remedy)
    return {str(name): Local.parse(entry, file=str(path), field=str(name)) for name, entry in entries.items()}


def run_local(job_file: Path, budget_seconds: float) -> Outcome:
    """Run the agent on this machine and wait for it, a little longer than its own budget.

    Its progress goes to this process's stderr. A hanging agent is killed with the processes that it started.
    """
    command = [sys.executable, "-P", agent.__file__, str(job_file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=budget_seconds + GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        return Outcome("timeout", f"no answer within {budget_seconds + GRACE_SECONDS:g} s")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return Outcome("oom", "the agent was killed, most likely for its memory")
    if process.returncode:
        return Outcome("crashed", f"the agent ended with {process.returncode}")
    return understand(output)


def understand(output: str) -> Outcome:
    """The agent's output → its measurement, if it is exactly one document of the schema between sentinel lines."""
    _before, begin, rest = output.partition(agent.BEGIN + "\n")
    document, end, after = rest.partition("\n" + agent.END)
    if not (begin and end) or agent.BEGIN in after:
        return Outcome("garbage_output", "no single document between the sentinel lines")
    try:
        return Outcome("ok", measurement=Measurement.model_validate_json(document))
    except ValidationError as error:
        first = error.errors()[0]
        return Outcome("garbage_output", f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
