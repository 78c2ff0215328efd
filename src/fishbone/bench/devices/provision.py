"""Puts numpy and onnxruntime on a device without internet: wheels for *its* machine, fetched here, installed there."""

import shlex
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from fishbone.bench.devices.outcome import DeviceError
from fishbone.bench.devices.ssh import STEP_SECONDS, Connection, probe

PLATFORMS = {  # as pip names them; the first is onnxruntime's, the others numpy's
    "x86_64": ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64"),
    "aarch64": ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64"),
}


def install_runtime(connection: Connection) -> str:
    """Make ``FOLDER/venv`` there; returns the version of onnxruntime that it has.

    Raises:
        DeviceError: the device cannot be reached, has no suitable Python, or pip refused here or there.
    """
    found = probe(connection, needs_runtime=False)
    with tempfile.TemporaryDirectory() as folder:
        wheels = Path(folder) / "wheels"
        download(wheels, found["machine"], found["python"])
        place = shlex.quote(connection.folder)
        _there(connection, f"mkdir -p {place} && rm -rf {place}/wheels {place}/venv")
        connection.copy(wheels, connection.folder)
    python = shlex.quote(found["executable"])
    _there(connection, f"{python} -m venv {place}/venv", "install python3-venv there")
    pip = f"{place}/venv/bin/python -m pip install --quiet --no-index --find-links {place}/wheels numpy onnxruntime"
    _there(connection, pip)
    version: str = probe(connection)["onnxruntime"]
    return version


def download(folder: Path, machine: str, python: list[int]) -> None:
    """Wheels of numpy and this machine's version of onnxruntime for another machine.

    Raises:
        DeviceError: onnxruntime has no wheels for it.
    """
    if machine not in PLATFORMS:
        known = ", ".join(PLATFORMS)
        raise DeviceError("wrong_arch", f"onnxruntime has no wheels for {machine} (it has for {known})")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder), "--only-binary=:all:"]
    command += [word for platform in PLATFORMS[machine] for word in ("--platform", platform)]
    command += ["--python-version", ".".join(map(str, python)), "numpy"]
    command += [f"onnxruntime=={metadata.version('onnxruntime')}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeviceError("copy_failed", f"pip here: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")


def _there(connection: Connection, command: str, hint: str = "") -> None:
    done = connection.run(command, STEP_SECONDS)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or done.stdout.strip().splitlines() or ["failed"])[-1]
        raise DeviceError("copy_failed", f"there: {last}{f'; {hint}' if hint else ''}")
