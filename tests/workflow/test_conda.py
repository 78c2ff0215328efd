"""`--software-deployment-method conda`, as Snakemake does it, with a `conda` that makes environments out of nothing."""

import os
import sys
import sysconfig

import pytest
import yaml
from packaging.requirements import Requirement
from workspace import copy_project

from fishbone.files import write_text

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
# A virtual environment that sees the installed packages but, as its .pth is not followed, no editable Fishbone.
CONDA = f"""#!/bin/sh
case "$1 $2" in
  "info --json") echo '{{"conda_prefix": "PREFIX", "platform": "linux-64"}}' ;;
  "config --get") echo '{{"get": {{"channel_priority": "strict"}}}}' ;;
  "--version ") echo 'conda 25.1.0' ;;
  "env create")
    while [ "$1" != --prefix ]; do shift; done
    "{sys.executable}" -m venv --without-pip "$2"
    echo "{sysconfig.get_path("purelib")}" > "$2/lib/{PYTHON}/site-packages/installed.pth" ;;
esac
"""


@pytest.mark.slow
def test_jobs_run_in_conda_environments_made_elsewhere_from_the_file_alone(tmp_path, monkeypatch):
    project, prefix = copy_project(tmp_path / "project"), tmp_path / "conda"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin" / "conda").write_text(CONDA.replace("PREFIX", str(prefix)))
    (prefix / "bin" / "conda").chmod(0o755)
    (prefix / "bin" / "activate").write_text('export PATH="$1/bin:$PATH"\n')
    monkeypatch.setenv("PATH", f"{prefix / 'bin'}{os.pathsep}{os.environ['PATH']}")
    write_text(project.root / "studies/small/params.yaml", "stages: [prepare]\nprepare: { datasets: [digits] }\n")

    conda = ["--software-deployment-method", "conda", "--cores", "1"]
    project.run(sys.executable, "-m", "snakemake", *conda, "--config", "study=small")

    assert (project.root / "results/small/prepare/digits.npz").is_file()
    [copied] = (project.root / ".snakemake" / "conda").glob("*.yaml")
    dependencies = yaml.safe_load(copied.read_text())["dependencies"]
    assert not any(Requirement(text).url for text in dependencies[-1]["pip"]), "resolves in any folder"
    [environment] = (project.root / ".snakemake" / "conda").glob("*/bin/python")
    bare = project.run(str(environment), "-I", "-c", "import click, fishbone", check=False)
    assert "No module named 'fishbone'" in bare.stderr, "so the job had it from src/"
