from pathlib import Path

import pytest
from click.testing import CliRunner

from fishbone.bench.devices.file import read_devices
from fishbone.bench.devices.kinds import Constrained, Local, Ssh
from fishbone.cli import cli
from fishbone.errors import InputError


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "devices.yaml"
    path.write_text("# mine\nhere:\n  kind: local")
    return path


def device(file, *arguments, code=0) -> str:
    done = CliRunner().invoke(cli, ["device", *arguments, "--devices", str(file)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


def test_added_devices_are_read_back_and_comments_stay(file):
    device(file, "add", "pi", "ssh", "host=pi@10.0.0.7", "port=2222")
    device(file, "add", "small", "constrained", "cpus=[0]", "memory_mb=300")
    assert file.read_text().startswith("# mine\nhere:")
    assert read_devices(file) == {
        "here": Local(kind="local"),
        "pi": Ssh(kind="ssh", host="pi@10.0.0.7", port=2222),
        "small": Constrained(kind="constrained", cpus=[0], memory_mb=300),
    }
    listed = device(file, "list").splitlines()
    assert listed[0] == "here: local"
    assert listed[1].startswith("pi: ssh host=pi@10.0.0.7 port=2222")


def test_a_first_device_makes_the_file(tmp_path):
    device(tmp_path / "new.yaml", "add", "here", "local")
    assert read_devices(tmp_path / "new.yaml") == {"here": Local(kind="local")}


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("here", "local"), "there is such a device"),
        (("pi", "ssh"), r"pi.host.*missing"),
        (("pi", "ssh", "host"), "not FIELD=VALUE"),
        (("pi", "ssh", "host=a", "speed=1"), r"pi.speed"),
    ],
)
def test_wrong_devices_are_not_written(file, arguments, match):
    before = file.read_text()
    with pytest.raises(InputError, match=match):
        device(file, "add", *arguments)
    assert file.read_text() == before


def test_check_tells_each_device_and_ends_with_1_if_one_cannot_measure(file, tmp_path, monkeypatch):
    assert "here: ok, Python" in device(file, "check")
    device(file, "add", "pi", "ssh", "host=pi")
    monkeypatch.setenv("PATH", str(tmp_path))
    output = device(file, "check", code=1)
    assert "here: ok" in output
    assert "pi: unreachable: there is no ssh" in output
    assert "here: ok" in device(file, "check", "here")
    with pytest.raises(InputError, match="Choose one of here, pi"):
        device(file, "check", "nobody")


def test_check_says_what_limits_a_constrained_device(file):
    device(file, "add", "small", "constrained", "cpus=[0]")
    assert "small: ok, limits by" in device(file, "check", "small")


def test_only_ssh_devices_are_provisioned(file):
    with pytest.raises(InputError, match="only ssh devices"):
        device(file, "provision", "here")


def test_without_a_devices_file_there_is_this_machine_and_a_file_that_is_named_has_to_be_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(cli, ["device", "list"], catch_exceptions=False).output == "local: local\n"
    with pytest.raises(InputError, match=r"mine.yaml: file is missing"):
        CliRunner().invoke(cli, ["device", "list", "--devices", "mine.yaml"], catch_exceptions=False)
