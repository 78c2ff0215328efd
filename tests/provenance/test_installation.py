"""The ways to install say the same thing."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fishbone.provenance.sources import _DATA

PROJECT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())


def names(requirements) -> set[str]:
    return {re.match(r"[A-Za-z0-9_.-]+", text)[0].lower().replace("_", "-") for text in requirements}


def locked() -> dict[str, str]:
    lines = (PROJECT / "requirements.lock").read_text().splitlines()
    pins = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {name.lower().replace("_", "-"): version for name, version in pins}


def declared() -> set[str]:
    groups = [PYPROJECT["project"]["dependencies"], *PYPROJECT["project"]["optional-dependencies"].values()]
    return set().union(*map(names, groups)) - {"fishbone"}


def test_lock_pins_every_declared_dependency():
    assert declared() <= set(locked())
    assert locked()["torch"] == "2.13.0"


def test_conda_environment_holds_what_pyproject_declares_as_the_lock_pins_it_and_no_path():
    # Snakemake copies the file elsewhere, so that a path would lead from there.
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge", "bioconda", "nodefaults"]
    plain = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    assert plain == ["python=3.11", "pip", "git", "make"]
    assert "Python 3.11" in (PROJECT / "requirements.lock").read_text().splitlines()[0]
    [pip] = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    pinned = {canonicalize_name(Requirement(text).name): str(Requirement(text).specifier) for text in pip}
    versions = {canonicalize_name(name): f"=={version}" for name, version in locked().items()}
    assert pinned == {name: versions[name] for name in map(canonicalize_name, declared())}
    assert not any(Requirement(text).url for text in pip)


def test_the_extra_all_is_all_extras():
    own = re.search(r"\[(.*)\]", PYPROJECT["project"]["optional-dependencies"]["all"][0])[1]
    assert set(own.split(",")) == set(PYPROJECT["project"]["optional-dependencies"]) - {"all"}


def test_a_package_ships_its_data_files_and_no_others():
    package = PROJECT / "src" / "fishbone"
    present = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    listed = {
        path
        for name, patterns in PYPROJECT["tool"]["setuptools"]["package-data"].items()
        for pattern in patterns
        for path in (PROJECT / "src").glob(f"{name.replace('.', '/')}/{pattern}" if name != "*" else f"**/{pattern}")
    }
    assert listed == present
    assert {path for path in present if path.suffix in _DATA} == present - {
        package / "defaults.yaml", package / "py.typed", *package.rglob("*.pyi")
    }  # fmt: skip
    assert (package / "defaults.yaml").resolve() == PROJECT / "params.yaml"


def test_telemetry_is_off():
    config = (PROJECT / ".dvc" / "config").read_text()
    assert "analytics = false" in config
    assert "check_update = false" in config
    makefile = (PROJECT / "Makefile").read_text()
    assert "MLFLOW_DISABLE_TELEMETRY := true" in makefile
