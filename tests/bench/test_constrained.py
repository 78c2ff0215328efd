"""Limits are those of the kernel; what did not take effect is not claimed."""

import subprocess
import sys

import pytest

from fishbone.bench import agent
from fishbone.bench.devices import constrained, outcome
from fishbone.bench.devices.kinds import Constrained
from fishbone.bench.devices.outcome import Outcome
from fishbone.bench.results import Limits
from fishbone.errors import InputError

REPORT = """
import os, resource, sys
left = bytearray(int(sys.argv[1].rpartition("/")[2].removesuffix(".json")) * 10**6)
print(sorted(os.sched_getaffinity(0)), resource.getrlimit(resource.RLIMIT_AS)[0])
"""


@pytest.fixture
def reporter(tmp_path, monkeypatch):
    """Instead of the agent: takes as many megabytes as the task's name says and prints its limits."""
    script = tmp_path / "report.py"
    script.write_text(REPORT)
    monkeypatch.setattr(agent, "AGENT", script)
    monkeypatch.setattr("fishbone.bench.devices.local.understand", lambda output: Outcome("ok", output.strip()))


def run(asked, megabytes=1, folder="."):
    return constrained.run_constrained(constrained.Path(folder) / f"{megabytes}.json", 20, asked)


def limits(**values) -> Limits:
    return Limits(**{"backend": None, "cpus": None, "memory_mb": None, "cpu_share": None} | values)


def groups_work() -> bool:
    with constrained._version_2(limits(memory_mb=500)) as two, constrained._version_1(limits(memory_mb=500)) as one:
        return bool(one or two)


def test_cpus_are_those_asked_for(reporter):
    done = run(limits(cpus=[0]))
    assert done.message.startswith("[0]")
    assert done.limits.backend
    assert done.limits.cpus == [0]


@pytest.mark.skipif(not groups_work(), reason="no control groups that this user may make")
def test_the_kernel_kills_what_takes_more_memory_than_allowed(reporter):
    assert run(limits(memory_mb=200), 20).status == "ok"
    done = run(limits(memory_mb=200), 400)
    assert done.status == "oom"
    assert done.limits.backend.startswith("cgroup")
    assert done.limits.memory_mb == 200


@pytest.mark.skipif(not groups_work(), reason="no control groups that this user may make")
def test_groups_are_removed_afterwards(reporter):
    run(limits(memory_mb=200, cpus=[0]), 400)
    assert not list(constrained.ROOT.rglob(f"fishbone-{constrained.os.getpid()}*"))


def test_without_groups_the_commands_limit_and_claim_no_cpu_share(reporter, tmp_path, monkeypatch):
    monkeypatch.setattr(constrained, "ROOT", tmp_path / "none")
    done = run(limits(cpus=[0], memory_mb=900, cpu_share=0.5))
    assert done.message == f"[0] {900 * 10**6}"
    assert done.limits.backend == "taskset and prlimit (address space)"
    assert done.limits.cpu_share is None


def test_a_machine_that_cannot_limit_says_what_to_install(reporter, tmp_path, monkeypatch):
    monkeypatch.setattr(constrained, "ROOT", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="util-linux"):
        run(limits(cpus=[0]))


@pytest.mark.parametrize("files", [{"cgroup.controllers": "cpu io\n"}, {}])
def test_version_2_without_the_controllers_asked_for_is_not_taken(tmp_path, monkeypatch, files):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(constrained, "ROOT", tmp_path)
    with constrained._version_2(limits(memory_mb=100)) as found:
        assert found is None


def test_version_2_writes_the_kernels_files(tmp_path, monkeypatch):
    """On a folder that looks like the kernel's: which files get which values."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu memory\n")
    (tmp_path / "cgroup.subtree_control").write_text("")
    monkeypatch.setattr(constrained, "ROOT", tmp_path)
    monkeypatch.setattr(constrained, "_remove", lambda folder: None)
    with constrained._version_2(limits(memory_mb=100, cpus=[0, 2], cpu_share=0.5)) as (before, effective, killed):
        (group,) = tmp_path.glob("fishbone-*")
        assert (group / "memory.max").read_text() == "100000000"
        assert (group / "cpuset.cpus").read_text() == "0,2"
        assert (group / "cpu.max").read_text() == "50000 100000"
        assert effective.backend == "cgroup v2"
        (group / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\n")
        assert killed()
        done = subprocess.run([*before, sys.executable, "-c", "print('joined')"], capture_output=True, text=True)
        assert done.stdout == "joined\n"
        assert int((group / "cgroup.procs").read_text()) > 0


@pytest.mark.parametrize("entry", [{}, {"memory_mb": 0}, {"cpus": []}, {"cpus": [-1]}, {"cpu_share": 0.0}])
def test_limits_that_limit_nothing_are_refused(entry):
    with pytest.raises(InputError, match="pi"):
        Constrained.parse({"kind": "constrained"} | entry, file="devices.yaml", field="pi")


def test_a_killed_agent_is_out_of_memory_whatever_killed_it(reporter, monkeypatch):
    monkeypatch.setattr(outcome, "GRACE_SECONDS", 1)
    agent.AGENT.write_text("import os; os.kill(os.getpid(), 9)")
    assert run(limits(cpus=[0])).status == "oom"
