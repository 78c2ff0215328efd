"""The built wheel, installed outside the checkout, has all that a person needs there."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).resolve().parents[1]
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "params.yaml", "src")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a copy: setuptools leaves a build folder, and takes what an earlier one has
    for name in BUILT_FROM:
        if (PROJECT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(PROJECT / name, source / name, symlinks=True, ignore=ignored)
        else:
            source.mkdir(exist_ok=True)
            shutil.copy(PROJECT / name, source)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        folder,
        source,
    ]
    subprocess.run(pip, check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """An interpreter with the wheel, beside what is installed here."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (packages / "zz_here.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    return folder / "bin" / "python"


def run(python: Path, *arguments: str | Path, folder: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([python, *arguments], cwd=folder, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_every_file_of_the_package_and_the_values_of_params_yaml(wheel):
    package = PROJECT / "src" / "fishbone"
    wanted = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("fishbone/")}
        assert held == {path.relative_to(package.parent).as_posix() for path in wanted}
        assert archive.read("fishbone/defaults.yaml") == (PROJECT / "params.yaml").read_bytes()


def test_it_is_the_wheel_that_runs_and_not_the_checkout(python, tmp_path):
    shown = run(python, "-c", "import fishbone; print(fishbone.__file__)", folder=tmp_path)
    assert not Path(shown.strip()).is_relative_to(PROJECT)
    assert Path(shown.strip()).is_relative_to(python.parents[1])


@pytest.mark.timeout(900)
def test_verbs_that_need_no_study_run_one_after_the_other_with_defaults(python, tmp_path):
    def fishbone(*arguments: str) -> str:
        return run(python, "-m", "fishbone", *arguments, folder=tmp_path)

    few = {"train": {"epochs": 1}, "federate": {"rounds": 1}, "gan": {"rounds": 1, "steps": 1, "samples": 100}}

    def params(stage: str) -> str:
        return json.dumps(json.loads(fishbone("params", stage)) | few[stage])

    fishbone("prepare", "digits", "--out", "digits.npz")
    data, seed = ("--data", "digits.npz"), ("--seed", "0")
    fishbone("train", *data, *seed, "--params", params("train"), "--out", "run")
    fishbone("prune", *data, "--method", "magnitude", "--model", "run/model.safetensors", "--out", "pruned")
    fishbone("federate", *data, *seed, "--method", "hovefl-12-6", "--params", params("federate"), "--out", "fed")
    trained = ("--classifier", "run/model.safetensors")
    fishbone("gan", *data, *trained, *seed, "--method", "fsl_gan", "--params", params("gan"), "--out", "gan")
    networks = ("--model", "pruned/networks.safetensors", "--sparsity", "0.9")
    fishbone("export", *networks, *data, "--out", "pruned.onnx")
    quick = ("--seconds", "0.1", "--sittings", "1", "--cold-runs", "0", "--html", "page.html")
    assert "pruned:sparse" in fishbone("bench", "pruned.onnx", *data, *quick)
    assert fishbone("device", "list") == "local: local\n"
    for file in ("fed/metrics.json", "gan/metrics.json", "page.html"):
        assert (tmp_path / file).is_file()


@pytest.mark.parametrize("name", sorted(path.name for path in (PROJECT / "examples").glob("*.py")))
def test_an_example_runs_on_the_wheel(python, tmp_path, name):
    assert run(python, PROJECT / "examples" / name, folder=tmp_path)
