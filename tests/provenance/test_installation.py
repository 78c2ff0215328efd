"""The ways to install say the same thing."""

import re
import tomllib
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())


def names(requirements) -> set[str]:
    return {re.match(r"[A-Za-z0-9_.-]+", text)[0].lower().replace("_", "-") for text in requirements}


def locked() -> dict[str, str]:
    lines = (PROJECT / "requirements.lock").read_text().splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {name.lower().replace("_", "-"): version for name, version in pins}


def test_lock_pins_every_declared_dependency():
    extras = PYPROJECT["project"]["optional-dependencies"]
    declared = names(PYPROJECT["project"]["dependencies"]).union(*(names(extra) for extra in extras.values()))
    assert declared - {"fishbone"} <= set(locked())
    assert locked()["torch"] == "2.13.0"


def test_conda_environment_installs_the_package_itself_and_repeats_no_version():
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge", "bioconda", "nodefaults"]
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert all(re.fullmatch(r"[a-z-]+", entry) for entry in plain), "no versions here"
    assert set(plain) == {"python", "pip", "git", "make"}
    assert pip == ["-e .[all]"]
    own = re.search(r"\[(.*)\]", PYPROJECT["project"]["optional-dependencies"]["all"][0])[1]
    assert set(own.split(",")) == set(PYPROJECT["project"]["optional-dependencies"]) - {"all"}


def test_telemetry_is_off():
    config = (PROJECT / ".dvc" / "config").read_text()
    assert "analytics = false" in config
    assert "check_update = false" in config
    makefile = (PROJECT / "Makefile").read_text()
    assert "MLFLOW_DISABLE_TELEMETRY := true" in makefile
