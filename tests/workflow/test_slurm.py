"""The cluster's profile, on a Slurm that is not one."""

import os
import re
import sys

import pytest
from fake_slurm import install, submitted
from workspace import copy_project

from fishbone.files import write_text

pytest.importorskip("snakemake_executor_plugin_slurm")

SNAKEMAKE = [sys.executable, "-m", "snakemake", "--workflow-profile"]
STUDY = """
stages: [prepare, train, export, bench]
prepare: { datasets: [digits] }
train: { datasets: [digits], seeds: [0], width: 4, epochs: 1 }
export: { datasets: [digits], sparsities: [], channel_fractions: [], int8: { networks: [] } }
bench: { seconds: 0.1, warmup_seconds: 0.0, cold_runs: 1, sparse: false }
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """(project with the study ``small``, folder of Slurm's calls), with the faked commands first in PATH."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    write_text(project.root / "studies/small/params.yaml", STUDY)
    commands, calls = tmp_path_factory.mktemp("bin"), tmp_path_factory.mktemp("calls")
    install(commands)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("FAKE_SLURM", str(calls))
        yield project, calls


def planned(project, profile: str, *options: str) -> dict[str, dict[str, str]]:
    """{rule: {"threads", "resources", …}} as a dry run tells them; a thread more than one is told alone."""
    dry_run = [*SNAKEMAKE, f"profiles/{profile}", "--dry-run", "--quiet", "host", *options]
    text = project.run(*dry_run, "--config", "study=small").stdout
    blocks = re.findall(r"^rule (\w+):\n((?:    .*\n)+)", text, re.MULTILINE)
    return {rule: dict(re.findall(r"^    (\w+): (.*)$", lines, re.MULTILINE)) for rule, lines in blocks}


def test_the_profile_starts_without_a_number_of_cores(cluster):
    project, _ = cluster
    # No dry run, which makes a number up: asked for a file that no rule makes, it reads all rules before it ends.
    done = project.run(*SNAKEMAKE, "profiles/slurm", "--config", "study=small", "--", "no.file", check=False)
    assert "No rule to produce no.file" in done.stderr


def test_on_a_cluster_jobs_ask_for_their_own_threads_memory_and_time(cluster):
    project, _ = cluster
    jobs = planned(project, "slurm", "--cores", "7")
    assert set(jobs) == {"prepare", "train", "export", "bench", "all"}
    assert not any("threads" in job for job in jobs.values()), "one each"
    for rule in ("prepare", "train", "export", "bench"):
        assert "mem_mb=" in jobs[rule]["resources"]
        assert "runtime=" in jobs[rule]["resources"]
    assert "slurm_extra=--exclusive" in jobs["bench"]["resources"]


def test_on_one_machine_bench_has_all_cores_so_that_nothing_runs_meanwhile(cluster):
    project, _ = cluster
    jobs = planned(project, "default", "--cores", "7")
    assert jobs["bench"]["threads"] == "7"
    assert "threads" not in jobs["train"]


@pytest.mark.slow
def test_the_profile_submits_every_job_and_the_study_ends(cluster):
    project, calls = cluster
    at_once = ["--slurm-init-seconds-before-status-checks", "1"]
    project.run(*SNAKEMAKE, "profiles/slurm", *at_once, "--config", "study=small")
    assert (project.root / "results/small/bench/digits/local.json").is_file()
    asked = submitted(calls)
    assert set(asked) == {"prepare", "train", "export", "bench"}
    for rule, memory, minutes in (("prepare", "4000", "60"), ("train", "8000", "240"), ("bench", "4000", "60")):
        arguments = asked[rule]
        assert "--cpus-per-task=1" in arguments
        assert arguments[arguments.index("--mem") + 1] == memory
        assert arguments[arguments.index("-t") + 1] == minutes
    assert [rule for rule in asked if "--exclusive" in asked[rule]] == ["bench"]
