"""Kinds of devices, each with its fields in a devices file and how the agent is run there.

``local`` runs the agent as a process of this machine,
``constrained`` as one with fewer CPUs or less memory, ``ssh`` on another machine; ``web`` serves a page to a browser,
``page`` writes one to be opened from disk.
"""

import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fishbone.bench.devices.constrained import limiting_backend, run_constrained
from fishbone.bench.devices.local import run_local
from fishbone.bench.devices.outcome import DeviceError, Outcome
from fishbone.bench.devices.page import run_page
from fishbone.bench.devices.provision import install_runtime
from fishbone.bench.devices.ssh import Connection, probe, run_ssh
from fishbone.bench.devices.web import VERSION, NoRuntimeError, run_web, runtime
from fishbone.bench.results import Limits
from fishbone.parameters import Block


class Local(Block):
    """This machine."""

    kind: Literal["local"] = Field(description="how the device is reached")

    def run(self, task_file: Path, budget_seconds: float) -> Outcome:
        """Measure there, within so many seconds of wall time."""
        return run_local(task_file, budget_seconds)

    def check(self) -> str:
        """What it would measure with."""
        return f"Python {platform.python_version()}, onnxruntime {metadata.version('onnxruntime')}"


class Constrained(Block):
    """This machine with less of it."""

    kind: Literal["constrained"]
    cpus: list[Annotated[int, Field(ge=0)]] | None = Field(None, description="numbers of the CPUs", min_length=1)
    memory_mb: int | None = Field(None, description="memory limit; the agent alone takes about 60", ge=1)
    cpu_share: float | None = Field(None, description="of one CPU's time; makes stalls, not a slow CPU", gt=0)

    @model_validator(mode="after")
    def _limits_something(self) -> "Constrained":
        if self.cpus is None and self.memory_mb is None and self.cpu_share is None:
            raise ValueError("give at least one of cpus, memory_mb and cpu_share")
        return self

    def run(self, task_file: Path, budget_seconds: float) -> Outcome:
        """Measure there, within so many seconds of wall time."""
        return run_constrained(task_file, budget_seconds, self._asked())

    def check(self) -> str:
        """What it would measure with."""
        return f"limits by {limiting_backend(self._asked())}"

    def _asked(self) -> Limits:
        return Limits(backend=None, cpus=self.cpus, memory_mb=self.memory_mb, cpu_share=self.cpu_share)


class Ssh(Block):
    """Another machine, by the system's ssh; see `fishbone.bench.devices.ssh.Connection`."""

    kind: Literal["ssh"]
    host: str = Field(description="alias of ~/.ssh/config, or user@name", pattern=r"^[^-\s]\S*$")
    port: int | None = Field(None, ge=1, le=65535)
    python: str = Field("python3", description="interpreter there", pattern=r"^[^-\s]\S*$")
    folder: str = Field(".cache/fishbone", description="there, in the home folder", pattern=r"^[^-~\s]\S*$")
    connect_seconds: int = Field(10, ge=1)

    def run(self, task_file: Path, budget_seconds: float) -> Outcome:
        """Measure there, within so many seconds of wall time."""
        return run_ssh(task_file, budget_seconds, **self.model_dump(exclude={"kind"}))

    def check(self) -> str:
        """What it would measure with.

        Raises:
            DeviceError: it cannot measure; the message says what to do.
        """
        with self.connection() as connection:
            found = probe(connection)
        version = ".".join(map(str, found["python"]))
        return f"Python {version}, onnxruntime {found['onnxruntime']}, {found['machine']}"

    def provision(self) -> str:
        """Install onnxruntime there; returns its version.

        Raises:
            DeviceError: as `fishbone.bench.devices.provision.install_runtime`.
        """
        with self.connection() as connection:
            return install_runtime(connection)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """One connection for all that is done there; closed at the end."""
        with tempfile.TemporaryDirectory(prefix="fb") as control:
            connection = Connection(**self.model_dump(exclude={"kind"}), control=Path(control))
            try:
                yield connection
            finally:
                connection.close()


class Web(Block):
    """A browser that opens a page; see `fishbone.bench.devices.web`."""

    kind: Literal["web"]
    browser: list[str] | None = Field(
        None, description="command that opens the address put behind it; {profile} is a new folder. Without: a person"
    )
    bind: str = Field("127.0.0.1", description="address to listen on; for a phone this machine's own in your network")
    port: int = Field(0, description="0: a free one", ge=0, le=65535)
    wait_seconds: int = Field(600, description="until somebody opens the page", ge=1)

    def run(self, task_file: Path, budget_seconds: float) -> Outcome:
        """Measure there, within so many seconds of wall time."""
        return run_web(task_file, budget_seconds, **self.model_dump(exclude={"kind"}))

    def check(self) -> str:
        """What it would measure with.

        Raises:
            DeviceError: there is no onnxruntime-web, or no such browser.
        """
        _web_runtime()
        if self.browser and not shutil.which(self.browser[0]):
            raise DeviceError("unreachable", f"there is no {self.browser[0]} on this machine")
        return f"onnxruntime-web {VERSION}, opened by {self.browser[0] if self.browser else 'a person'}"


class Page(Block):
    """A browser that opens one file from its disk; see `fishbone.bench.devices.page`."""

    kind: Literal["page"]
    page: str = Field(description="HTML file to write, to be opened on the device", min_length=1)
    result: str = Field(description="JSON file that was saved there, put here", min_length=1)

    def run(self, task_file: Path, budget_seconds: float) -> Outcome:
        """Measure there, within so many seconds of wall time."""
        return run_page(task_file, Path(self.page), Path(self.result))

    def check(self) -> str:
        """What it would measure with.

        Raises:
            DeviceError: there is no onnxruntime-web.
        """
        _web_runtime()
        state = "is there" if Path(self.result).exists() else "is not there yet"
        return f"onnxruntime-web {VERSION}; {self.result} {state}"


def _web_runtime() -> None:
    try:
        runtime()
    except NoRuntimeError as error:
        raise DeviceError("no_runtime", str(error)) from None


Device = Local | Constrained | Ssh | Web | Page
KINDS: dict[str, type[Device]] = {"local": Local, "constrained": Constrained, "ssh": Ssh, "web": Web, "page": Page}
