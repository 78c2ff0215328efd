"""What Snakemake plans before anything has run, and what generated files say."""

import os
import re
import subprocess
import sys

import pytest
from workspace import PROJECT, copy_project

from fishbone.provenance.dag import jobs
from fishbone.provenance.generate import outdated
from fishbone.provenance.lock import folder, studies
from fishbone.provenance.params import SCHEMA, schema_text
from fishbone.provenance.sources import digest


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return copy_project(tmp_path_factory.mktemp("empty"))


def test_an_empty_tree_plans_jobs_of_every_stage(empty):
    # Guards the trap of a root Snakefile without a target: "Nothing to be done", exit 0.
    planned = empty.run("snakemake", "-n", "-p", "--quiet", "host").stdout
    for rule in ("prepare", "train", "prune", "federate", "gan", "export", "bench", "report"):
        assert f"rule {rule}:" in planned
    # Newer code must not resume what older code began.
    for rule in ("train", "prune", "federate", "gan"):
        paths = re.findall(rf"--checkpoint (checkpoints/quick/{rule}/\S+)", planned)
        assert paths
        assert all(path.endswith(f"-{digest(rule)}.safetensors") for path in paths)


def test_another_study_touches_only_its_own_results(empty):
    # Each path is below results/cifar10/, or the prefix would still be there.
    assert {output.split("/")[0] for output in empty.pending("cifar10")} == {"prepare", "train", "prune", "report"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("depth: 8", "depth: 9", "params.yaml: train.depth: .*6n\\+2.*got 9"),
        ("learning_rate: 0.2", "learning_rate: 2e-1", "params.yaml: train.learning_rate: .*number.*'2e-1'.*1.0e-3"),
        ("epochs: 8", "epoch: 8", "params.yaml: train.epoch"),
        ("precision: auto", "precision: half", "params.yaml: train.precision: .*'auto', 'bf16' or 'fp32'.*'half'"),
    ],
)
def test_wrong_value_stops_before_any_job_and_names_key_value_and_what_is_allowed(empty, old, new, message):
    with empty.edited("params.yaml", old, new):
        done = empty.fishbone("reproduce", check=False)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert re.search(message, done.stderr), done.stderr
    assert not (empty.root / "results").exists()


@pytest.mark.parametrize("study", studies(PROJECT))
def test_generated_files_are_what_the_sources_say(study):
    assert not outdated(study, jobs(study, PROJECT), PROJECT), "run `fishbone generate`"


def test_the_schema_is_what_the_stages_say():
    assert (PROJECT / SCHEMA).read_text() == schema_text(), "run `fishbone generate`"


def test_dvc_yaml_never_persists_outputs_and_stays_short():
    for study in studies(PROJECT):
        text = (folder(study, PROJECT) / "dvc.yaml").read_text()
        assert "persist" not in text
        assert max(map(len, text.splitlines())) <= 160
    assert len((PROJECT / "dvc.yaml").read_text().splitlines()) <= 400


def test_unknown_study_is_named_with_the_known_ones():
    done = subprocess.run(
        [sys.executable, "-m", "fishbone", "params", "--study", "nope"],
        cwd=PROJECT, env={**os.environ, "PYTHONPATH": "src"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "quick, ablations, cifar10, cifar10-resnet18, cifar10-short, tiny-imagenet-40" in done.stderr
