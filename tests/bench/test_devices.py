import subprocess
import time

import pytest

from fishbone.bench import agent
from fishbone.bench.devices import outcome
from fishbone.bench.devices.file import read_devices
from fishbone.bench.devices.kinds import Local
from fishbone.bench.devices.local import run_local
from fishbone.errors import InputError


@pytest.fixture
def impostor(tmp_path, monkeypatch):
    """Run this code instead of the agent."""

    def use(code):
        file = tmp_path / "impostor.py"
        file.write_text(code)
        monkeypatch.setattr(agent, "AGENT", file)

    return use


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("print('hello')", "garbage_output"),
        ("raise SystemExit(3)", "crashed"),
        ("import os; os.kill(os.getpid(), 4)", "crashed"),
        ("import os; os.kill(os.getpid(), 9)", "oom"),
    ],
)
def test_how_an_agent_fails_is_a_status(impostor, tmp_path, code, status):
    impostor(code)
    done = run_local(tmp_path / "task.json", 10)
    assert (done.status, done.measurement) == (status, None)
    assert done.message


GONE = ("", "Z")


def state_of(process):
    return subprocess.run(["ps", "-o", "stat=", "-p", process], capture_output=True, text=True).stdout.strip()[:1]


def test_a_hanging_agent_is_killed_with_its_children(impostor, tmp_path, monkeypatch):
    monkeypatch.setattr(outcome, "GRACE_SECONDS", 0.5)
    child = tmp_path / "child.pid"
    impostor(
        f"import subprocess, time; p = subprocess.Popen(['sleep', '60']); "
        f"open({str(child)!r}, 'w').write(str(p.pid)); time.sleep(60)"
    )
    began = time.monotonic()
    assert run_local(tmp_path / "task.json", 0.5).status == "timeout"
    assert time.monotonic() - began < 10
    while (state := state_of(child.read_text())) not in GONE and time.monotonic() - began < 10:
        time.sleep(0.05)  # a killed process that is not scheduled is not gone yet
    assert state in GONE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        f"{agent.BEGIN}\n{{}}\n{agent.END}\n",
        f"{agent.BEGIN}\n{{}}",
        f"{agent.BEGIN}\n{{}}\n{agent.END}\n{agent.BEGIN}\n{{}}\n{agent.END}\n",
        f"{agent.BEGIN}\nno JSON\n{agent.END}\n",
    ],
)
def test_anything_but_one_document_is_garbage(text):
    assert outcome.understand(text).status == "garbage_output"


def test_devices_are_read_by_name(tmp_path):
    file = tmp_path / "devices.yaml"
    file.write_text("bench: {kind: local}\n")
    assert read_devices(file) == {"bench": Local(kind="local")}
    assert list(read_devices(None)) == ["local"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("bench: {kind: cloud}", r"devices.yaml: bench.kind.*cloud"),
        ("bench: {kind: local, speed: 1}", r"bench.speed"),
        ("bench: local", "bench"),
        ("a: {kind: local}\na.metrics: {kind: local}", r"another device \(got 'a\.metrics'\)"),
        ("- local", "no devices"),
        ("a: [", "not valid YAML"),
    ],
)
def test_wrong_devices_files_are_explained(tmp_path, text, match):
    file = tmp_path / "devices.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=match):
        read_devices(file)
    with pytest.raises(InputError, match="missing"):
        read_devices(tmp_path / "none.yaml")
