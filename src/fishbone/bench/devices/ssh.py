"""Another machine, by the system's own ``ssh`` and ``scp``: keys, aliases and jumps are those of ``~/.ssh/config``.

The task's folder and the agent are copied into a new folder there, checked by hash, run and removed. Nothing is asked
interactively. Whatever goes wrong is an outcome with a status.
"""

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from fishbone.bench import agent
from fishbone.bench.devices import outcome
from fishbone.bench.devices.outcome import DeviceError, Outcome, understand

RETRY_SECONDS = (1.0, 4.0)
STEP_SECONDS = 300
CLEAN_UP_SECONDS = 15
OLDEST_PYTHON = (3, 11)
UNREACHABLE = 255  # ssh's own code for anything that goes wrong on the way
PROBE = """
import json, platform, sys
found = {"python": list(sys.version_info[:2]), "machine": platform.machine(), "executable": sys.executable}
for name in ("numpy", "onnxruntime"):
    try:
        found[name] = __import__(name).__version__
    except ModuleNotFoundError:
        found[name] = None
    except ImportError as error:
        found["broken"] = str(error)
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Connection:
    """One device, over one connection that all commands share.

    Args:
        host: what follows ``ssh``: an alias, or user@name.
        port: None leaves it to the configuration.
        python: interpreter there, unless `fishbone device provision` has made one.
        folder: where tasks and the provisioned environment go; relative to the home folder there.
        connect_seconds: how long to wait for the connection.
        control: a local folder for the shared connection's socket.
    """

    host: str
    port: int | None
    python: str
    folder: str
    connect_seconds: int
    control: Path

    def _options(self) -> list[str]:
        values = {
            "BatchMode": "yes", "ConnectTimeout": self.connect_seconds, "ServerAliveInterval": 5,
            "ServerAliveCountMax": 3, "ControlMaster": "auto", "ControlPath": self.control / "%C",
            "ControlPersist": 30,
        }  # fmt: skip
        values |= {} if self.port is None else {"Port": self.port}
        return [word for name, value in values.items() for word in ("-o", f"{name}={value}")]

    def command(self, remote: str) -> list[str]:
        """The words of this machine's command line that run a shell command there."""
        return ["ssh", *self._options(), "--", self.host, remote]

    def run(self, remote: str, timeout: float = STEP_SECONDS) -> subprocess.CompletedProcess[str]:
        """A shell command there.

        Raises:
            DeviceError: the device cannot be reached (after two more tries), or lets nobody in.
        """
        return self._tried(self.command(remote), timeout)

    def copy(self, local: Path, remote: str) -> None:
        """A folder, with what is in it.

        Raises:
            DeviceError: as `run`, or scp refused.
        """
        done = self._tried(["scp", "-q", "-r", *self._options(), "--", str(local), f"{self.host}:{remote}"])
        if done.returncode:
            raise DeviceError("copy_failed", f"scp ended with {done.returncode}: {_last_line(done.stderr)}")

    def clean_up(self, remote: str) -> None:
        """A shell command there, whose failure changes nothing any more."""
        with suppress(subprocess.TimeoutExpired, OSError):
            _run(self.command(remote), CLEAN_UP_SECONDS)

    def close(self) -> None:
        """End the shared connection, which would wait for more commands."""
        with suppress(subprocess.TimeoutExpired, OSError):
            command = ["ssh", *self._options(), "-O", "exit", "--", self.host]
            _run(command, CLEAN_UP_SECONDS)

    def _tried(self, command: list[str], timeout: float = STEP_SECONDS) -> subprocess.CompletedProcess[str]:
        for pause in (*RETRY_SECONDS, None):
            try:
                done = _run(command, timeout)
            except FileNotFoundError:
                raise DeviceError("unreachable", f"there is no {command[0]} on this machine") from None
            except subprocess.TimeoutExpired:
                raise DeviceError("timeout", f"no answer within {timeout:g} s") from None
            if done.returncode != UNREACHABLE:
                return done
            if any(phrase in done.stderr for phrase in ("Permission denied", "Host key verification failed")):
                raise DeviceError("auth", _last_line(done.stderr))
            if pause is not None:
                time.sleep(pause)
        raise DeviceError("unreachable", _last_line(done.stderr))


def _run(command: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )


def run_ssh(task_file: Path, budget_seconds: float, **device: Any) -> Outcome:
    """Copy the task there, run the agent, bring its measurement back; ``device``: the fields of `Connection`."""
    with tempfile.TemporaryDirectory(prefix="fb") as control:
        connection = Connection(**device, control=Path(control))
        try:
            found = probe(connection)
            with _remote_folder(connection) as folder:
                _send(connection, task_file.parent, folder, found["executable"])
                done = _measure(connection, folder, found["executable"], task_file.name, budget_seconds)
        except DeviceError as failed:
            return failed.outcome
        finally:
            connection.close()
        ours = metadata.version("onnxruntime")
        if done.status == "ok" and found["onnxruntime"] != ours:
            done = replace(done, message=f"onnxruntime {found['onnxruntime']} there, {ours} here")
        return done


def probe(connection: Connection, needs_runtime: bool = True) -> dict[str, Any]:
    """Python there: version, machine, executable, numpy and onnxruntime.

    Raises:
        DeviceError: unreachable, auth, no_python, too_old, wrong_arch or no_runtime.
    """
    own = shlex.quote(f"{connection.folder}/venv/bin/python")
    chosen = f"if [ -x {own} ]; then P={own}; else P={shlex.quote(connection.python)}; fi"
    done = connection.run(f'{chosen}; "$P" -c {shlex.quote(PROBE)}')
    if done.returncode in (126, 127):
        raise DeviceError("no_python", f"no {connection.python} there; name one in `python:`")
    if done.returncode == 128 + 4:
        raise DeviceError("wrong_arch", "onnxruntime there was built for another processor (illegal instruction)")
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise DeviceError(
            "garbage_output", f"{connection.python} there: {_last_line(done.stderr or done.stdout)}"
        ) from None
    if tuple(found["python"]) < OLDEST_PYTHON:
        shown = ".".join(map(str, found["python"]))
        raise DeviceError(
            "too_old", f"Python {shown} there; the agent needs {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer"
        )
    if found.get("broken"):
        raise DeviceError("wrong_arch", found["broken"])
    missing = [name for name in ("numpy", "onnxruntime") if not found[name]]
    if missing and needs_runtime:
        line = f"{found['executable']} -m pip install numpy onnxruntime=={metadata.version('onnxruntime')}"
        raise DeviceError("no_runtime", f"no {' and '.join(missing)} there: `{line}`, or `fishbone device provision`")
    return found


@contextmanager
def _remote_folder(connection: Connection) -> Iterator[str]:
    parent = shlex.quote(connection.folder)
    done = connection.run(f"mkdir -p {parent} && mktemp -d {parent}/task.XXXXXX")
    folder = done.stdout.strip()
    if done.returncode or not folder.startswith(f"{connection.folder}/task."):
        raise DeviceError("copy_failed", f"no folder in {connection.folder} there: {_last_line(done.stderr)}")
    try:
        yield folder
    finally:
        connection.clean_up(f"rm -rf -- {shlex.quote(folder)}")


def _send(connection: Connection, task_folder: Path, folder: str, python: str) -> None:
    """Copy the task and the agent; once more if a file arrives damaged."""
    with tempfile.TemporaryDirectory() as staged:
        parcel = Path(staged) / "parcel"
        shutil.copytree(task_folder, parcel)
        shutil.copyfile(agent.AGENT, parcel / "agent.py")
        for _ in range(2):
            connection.copy(parcel, folder)
            check = f"cd {shlex.quote(folder)}/parcel && {shlex.quote(python)} -P agent.py task.json --check"
            done = connection.run(check)
            if done.returncode == 0:
                return
    raise DeviceError("hash_mismatch", f"files arrive damaged, twice: {_last_line(done.stderr)}")


def _measure(connection: Connection, folder: str, python: str, task: str, budget_seconds: float) -> Outcome:
    remote = f"cd {shlex.quote(folder)}/parcel && exec {shlex.quote(python)} -P agent.py {shlex.quote(task)}"
    process = subprocess.Popen(
        connection.command(remote), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None  # pipes, as asked for above
    assert process.stderr is not None
    seen: list[str] = []
    progress = threading.Thread(target=_forward, args=(process.stderr, seen), daemon=True)
    progress.start()
    output: list[str] = []
    reader = threading.Thread(target=_read_all, args=(process.stdout, output), daemon=True)
    reader.start()
    patience = budget_seconds + outcome.GRACE_SECONDS
    try:
        code = process.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        return Outcome("timeout", f"no answer within {patience:g} s")
    finally:
        if process.poll() is None:
            _kill(connection, process, seen)
    reader.join(10)
    progress.join(10)
    match code:
        case 0:
            return understand("".join(output))
        case 255:
            return Outcome("unreachable", f"the connection broke while measuring: {seen[-1] if seen else ''}")
        case 137:
            return Outcome("oom", "the agent was killed, most likely for its memory")
        case 132:
            return Outcome("wrong_arch", "illegal instruction: onnxruntime there is for another processor")
    return Outcome("crashed", f"the agent ended with {code}: {seen[-1] if seen else ''}")


def _read_all(stream: IO[str], output: list[str]) -> None:
    output.append(stream.read())


def _forward(stream: Iterable[str], seen: list[str]) -> None:
    for line in stream:
        seen.append(line.strip())
        print(line, end="", file=sys.stderr, flush=True)


def _kill(connection: Connection, process: subprocess.Popen[str], seen: list[str]) -> None:
    """The agent and its children: it leads its process group there and has told its number."""
    process.kill()
    number = next((line.rsplit(" ", 1)[1] for line in seen if line.startswith("agent: process ")), "")
    if number.isdigit():
        connection.clean_up(f"kill -9 -{number}; kill -9 {number}")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no message"])[-1][:300]
