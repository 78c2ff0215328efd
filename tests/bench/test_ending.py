"""Ending ``fishbone bench`` from outside: real processes, and none of them is left."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from small_onnx import save_classifier

FOREVER = ["--seconds", "500", "--sittings", "1", "--cold-runs", "0", "--budget-seconds", "1000"]
# Runs the command on this machine in a session of its own, as a server does.
FAKE_SSH = """#!/bin/sh
for word; do [ "$word" = exit ] && exit; done
while [ "$1" != -- ]; do shift; done
cd {home} && exec setsid sh -c "$3"
"""
FAKE_SCP = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
cp -r "$2" {home}/"${{3#*:}}"
"""
DEVICES = {
    "local": {"kind": "local"},
    "constrained": {"kind": "constrained", "cpus": [0]},
    "ssh": {"kind": "ssh", "host": "pi", "python": sys.executable, "folder": "folder"},
}

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@pytest.fixture
def environment(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "tmp").mkdir()
    for name, text in (("ssh", FAKE_SSH), ("scp", FAKE_SCP)):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text.format(home=tmp_path / "home"))
        (tmp_path / "bin" / name).chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "TMPDIR": str(tmp_path / "tmp")}


def agents_of(folder: Path) -> list[int]:
    """Processes whose command or working folder lies in ``folder``, zombies left out."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            told = (place / "cmdline").read_bytes().decode() + os.readlink(place / "cwd")
        except OSError:
            continue
        if str(folder) in told and "agent.py" in told:
            found.append(int(place.name))
    return found


@pytest.mark.parametrize(
    ("device", "number"),
    [
        ("local", signal.SIGTERM),
        ("ssh", signal.SIGTERM),
        pytest.param("constrained", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("local", signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_bench_that_is_ended_leaves_no_process_and_no_file(tmp_path, environment, device, number):
    if device == "ssh" and shutil.which("setsid") is None:
        pytest.skip("no setsid")
    model = save_classifier(tmp_path / "m.onnx")
    (tmp_path / "devices.yaml").write_text(yaml.safe_dump({device: DEVICES[device]}))
    command = [sys.executable, "-m", "fishbone", "bench", model, "--devices", tmp_path / "devices.yaml", *FOREVER]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True)
    try:
        assert any("sittings of" in line for line in process.stderr)
        assert len(agents_of(tmp_path)) == 2, "the agent, and its process for warm rounds"
        process.send_signal(number)
        assert process.wait(30) == (143 if number == signal.SIGTERM else 1)
        patience = time.monotonic() + 5
        while agents_of(tmp_path) and time.monotonic() < patience:
            time.sleep(0.05)
        assert agents_of(tmp_path) == []
    finally:
        process.kill()
        for left in agents_of(tmp_path):
            os.kill(left, signal.SIGKILL)
    assert [left for left in (tmp_path / "tmp").iterdir() if left.is_dir()] == []
    assert list((tmp_path / "home").glob("folder/task.*")) == []


def test_an_agent_that_is_ended_takes_its_process_with_it(tmp_path, environment):
    model = save_classifier(tmp_path / "m.onnx")
    command = [sys.executable, "-m", "fishbone", "bench", model, *FOREVER]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment, text=True)
    try:
        number = next(line for line in process.stderr if "agent: process" in line).split()[-1]
        assert any("sittings of" in line for line in process.stderr)
        os.kill(int(number), signal.SIGTERM)
        assert process.wait(30) == 0, "the device failed, the run did not"
        assert agents_of(tmp_path) == []
    finally:
        process.kill()
        for left in agents_of(tmp_path):
            os.kill(left, signal.SIGKILL)
