"""The way to another machine: every way to fail is a status, and a real server on loopback gives a measurement."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import onnxruntime
import pytest
from small_onnx import save_classifier

from fishbone.bench.devices import outcome, provision, ssh
from fishbone.bench.devices.kinds import Ssh
from fishbone.bench.devices.outcome import DeviceError
from fishbone.bench.devices.ssh import Connection
from fishbone.bench.procedure import Procedure
from fishbone.bench.task import write_task

QUICK = Procedure(
    threads=1, seconds=0.05, sittings=8, block_ms=1.0, warmup_seconds=0.0, cold_runs=1, images=20, budget_seconds=40.0
)
DEVICE = {"host": "pi", "port": None, "python": sys.executable, "folder": "folder", "connect_seconds": 5}
# A device that is a folder of this machine: runs the command there, copies with cp.
FAKE_SSH = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
echo "$3" >> {log}
{before}
cd {home} && exec sh -c "$3"
"""
FAKE_SCP = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
cp -r "$2" {home}/"${{3#*:}}"
{after}
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Put a fake ssh and scp first on PATH; returns what was asked for of them, a line a command."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "home").mkdir()
    log = tmp_path / "log"
    log.touch()

    def install(before="", after=""):
        for name, text in (("ssh", FAKE_SSH), ("scp", FAKE_SCP)):
            file = tmp_path / "bin" / name
            file.write_text(text.format(log=log, home=tmp_path / "home", before=before, after=after))
            file.chmod(0o755)
        return log

    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(ssh, "RETRY_SECONDS", (0.01, 0.01))
    return install


@pytest.fixture
def task(tmp_path):
    (tmp_path / "task").mkdir()
    return write_task([save_classifier(tmp_path / "m.onnx")], 0, None, QUICK, tmp_path / "task")


def run(task, **changes):
    return ssh.run_ssh(task.file, QUICK.budget_seconds, **DEVICE | changes)


def test_a_task_is_sent_run_and_cleared_away(fake, task, tmp_path):
    log = fake()
    done = run(task)
    assert done.status == "ok", done.message
    assert done.measurement.models[0].status == "ok"
    assert done.message is None
    assert list((tmp_path / "home" / "folder").iterdir()) == []
    assert "rm -rf -- folder/task." in log.read_text()


@pytest.mark.parametrize(
    ("before", "status", "tries"),
    [
        ("echo 'ssh: connect to host pi port 22: Connection timed out' >&2; exit 255", "unreachable", 3),
        ("echo 'pi: Permission denied (publickey).' >&2; exit 255", "auth", 1),
        ("echo 'Host key verification failed.' >&2; exit 255", "auth", 1),
        ("echo 'sh: python3: not found' >&2; exit 127", "no_python", 1),
        ("exit 132", "wrong_arch", 1),
        ("echo hello; exit 0", "garbage_output", 1),
        ("""echo '{"python": [3, 9], "executable": "x"}'; exit 0""", "too_old", 1),
        (
            """echo '{"python": [3, 12], "executable": "x", "numpy": "2", "onnxruntime": null}'; exit 0""",
            "no_runtime",
            1,
        ),
        ("""echo '{"python": [3, 12], "executable": "x", "broken": "wrong ELF class"}'; exit 0""", "wrong_arch", 1),
    ],
)
def test_what_stops_on_the_way_is_a_status(fake, task, before, status, tries):
    log = fake(before)
    done = run(task)
    assert (done.status, done.measurement) == (status, None)
    assert done.message
    assert log.read_text().count("import json, platform") == tries


def test_the_pip_line_that_helps_is_named(fake, task):
    fake("""echo '{"python": [3, 12], "executable": "/p", "numpy": null, "onnxruntime": null}'; exit 0""")
    assert f"/p -m pip install numpy onnxruntime=={onnxruntime.__version__}" in run(task).message


def test_another_version_of_onnxruntime_is_told_and_measured(fake, task, monkeypatch):
    fake()
    monkeypatch.setattr(ssh.metadata, "version", lambda name: "0.9")
    done = run(task)
    assert done.status == "ok"
    assert "0.9 here" in done.message


def test_a_full_disk_there_is_said(fake, task):
    fake(after="echo 'scp: write remote: No space left on device' >&2; exit 1")
    done = run(task)
    assert done.status == "copy_failed"
    assert "No space left on device" in done.message


def test_a_folder_that_cannot_be_made_there_is_said(fake, task, tmp_path):
    fake()
    (tmp_path / "home" / "folder").write_text("a file")
    done = run(task)
    assert done.status == "copy_failed"
    assert "no folder in folder there" in done.message


def test_a_file_that_arrives_damaged_is_sent_again(fake, task, tmp_path):
    flag = tmp_path / "damaged"
    fake(after=f"if [ ! -e {flag} ]; then touch {flag}; for f in {tmp_path}/home/folder/*/parcel/0.onnx; "
         "do printf x >> $f; done; fi")  # fmt: skip
    done = run(task)
    assert flag.exists()
    assert done.status == "ok", done.message


def test_a_file_that_always_arrives_damaged_ends_it(fake, task, tmp_path):
    fake(after=f"for f in {tmp_path}/home/folder/*/parcel/0.onnx; do printf x >> $f; done")
    done = run(task)
    assert done.status == "hash_mismatch"
    assert "twice" in done.message


def test_a_connection_that_breaks_while_measuring_is_unreachable(fake, task):
    fake('case "$3" in *"&& exec "*) echo "agent: process 1" >&2; exit 255;; esac')
    assert run(task).status == "unreachable"


@pytest.mark.parametrize(("code", "status"), [(137, "oom"), (132, "wrong_arch"), (3, "crashed"), (0, "garbage_output")])
def test_how_the_agent_ends_there_is_a_status(fake, task, code, status):
    fake(f'case "$3" in *"&& exec "*) exit {code};; esac')
    assert run(task).status == status


def test_a_hanging_agent_is_killed_there(fake, task, monkeypatch):
    monkeypatch.setattr(outcome, "GRACE_SECONDS", 1.5)
    log = fake('case "$3" in *"&& exec "*) echo "agent: process 4194303" >&2; exec sleep 60;; esac')
    began = time.monotonic()
    done = ssh.run_ssh(task.file, 0.1, **DEVICE)
    assert done.status == "timeout"
    assert time.monotonic() - began < 20
    assert "kill -9 -4194303; kill -9 4194303" in log.read_text()


def test_no_ssh_client_is_said(task, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run(task)
    assert done.status == "unreachable"
    assert "no ssh on this machine" in done.message


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "a b", ""])
def test_hosts_that_would_be_options_are_refused(host):
    from fishbone.errors import InputError

    with pytest.raises(InputError, match=r"pi\.host"):
        Ssh.parse({"kind": "ssh", "host": host}, file="devices.yaml", field="pi")


# ---- a real server


def server_files() -> tuple[str, str] | None:
    found = shutil.which("sshd") or ("/usr/sbin/sshd" if Path("/usr/sbin/sshd").exists() else None)
    return (found, shutil.which("ssh")) if found and shutil.which("ssh") and shutil.which("ssh-keygen") else None


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A real sshd on loopback with a key of its own; ssh and scp are the system's, told of that key."""
    if server_files() is None:
        pytest.skip("no OpenSSH server and client")
    sshd, client = server_files()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path / 'host'}\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {tmp_path / 'user.pub'}\nPidFile none\nSubsystem sftp internal-sftp\n"
        f"PermitRootLogin yes\nPasswordAuthentication no\nSetEnv HOME={tmp_path}\n"
    )
    (tmp_path / "ssh_config").write_text(
        f"Host pi\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {tmp_path / 'user'}\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {tmp_path / 'known'}\n  StrictHostKeyChecking accept-new\n"
    )
    (tmp_path / "bin").mkdir()
    for name in ("ssh", "scp"):
        file = tmp_path / "bin" / name
        file.write_text(f'#!/bin/sh\nexec {Path(client).with_name(name)} -F {tmp_path / "ssh_config"} "$@"\n')
        file.chmod(0o755)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    log = open(tmp_path / "sshd.log", "w")  # noqa: SIM115 (closed with the server)
    process = subprocess.Popen([sshd, "-D", "-e", "-f", tmp_path / "sshd_config"], stderr=log)
    for _ in range(100):
        if socket.socket().connect_ex(("127.0.0.1", port)) == 0 or process.poll() is not None:
            break
        time.sleep(0.05)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    yield process
    process.kill()
    process.wait()
    log.close()


def test_a_real_server_gives_a_measurement(server, task, tmp_path):
    done = run(task, folder=str(tmp_path / "there"))
    assert done.status == "ok", f"{done.message}\n{(tmp_path / 'sshd.log').read_text()}"
    assert done.measurement.complete
    assert list((tmp_path / "there").iterdir()) == []


def test_a_real_server_without_our_key_lets_nobody_in(server, task, tmp_path):
    (tmp_path / "user.pub").write_text("")
    assert run(task, folder=str(tmp_path / "there")).status == "auth"


def test_a_real_server_that_is_gone_is_unreachable(server, task, tmp_path, monkeypatch):
    monkeypatch.setattr(ssh, "RETRY_SECONDS", (0.01, 0.01))
    server.kill()
    server.wait()
    assert run(task).status == "unreachable"


def test_an_agent_that_hangs_on_a_real_server_is_killed_there(server, task, tmp_path, monkeypatch):
    monkeypatch.setattr(outcome, "GRACE_SECONDS", 2)
    hanging = tmp_path / "agent.py"
    marker = f"600.{os.getpid()}"
    hanging.write_text(
        "import os, subprocess, sys\nif '--check' in sys.argv: sys.exit()\n"
        f"print('agent: process', os.getpid(), file=sys.stderr, flush=True)\nsubprocess.run(['sleep', '{marker}'])"
    )
    monkeypatch.setattr(ssh.agent, "AGENT", hanging)
    assert ssh.run_ssh(task.file, 1, **DEVICE | {"folder": str(tmp_path / "there")}).status == "timeout"
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert f"sleep {marker}" not in left.splitlines()


# ---- provisioning


def connection(tmp_path) -> Connection:
    return Connection(**DEVICE, control=tmp_path)


def test_wheels_are_those_of_the_devices_processor(fake, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(provision.subprocess, "run", lambda command, **_: asked.append(command) or failing())
    with pytest.raises(DeviceError, match="pip here"):
        provision.download(tmp_path, "aarch64", [3, 12])
    assert "manylinux_2_28_aarch64" in asked[0]
    assert asked[0][asked[0].index("--python-version") + 1] == "3.12"
    assert f"onnxruntime=={onnxruntime.__version__}" in asked[0]


def failing():
    return subprocess.CompletedProcess([], 1, "", "no such wheel")


def test_a_processor_without_wheels_is_said(tmp_path):
    with pytest.raises(DeviceError, match="no wheels for armv7l"):
        provision.download(tmp_path, "armv7l", [3, 11])


@pytest.mark.slow
def test_a_device_without_onnxruntime_gets_it(fake, task, tmp_path):
    """Needs pip's index: wheels for this machine, a new environment in the device's folder, then a measurement."""
    fake()
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", bare], check=True)
    device = DEVICE | {"python": str(bare / "bin" / "python")}
    assert ssh.run_ssh(task.file, 40, **device).status == "no_runtime"
    assert provision.install_runtime(Connection(**device, control=tmp_path)) == onnxruntime.__version__
    assert ssh.run_ssh(task.file, 40, **device).status == "ok"
