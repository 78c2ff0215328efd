"""What a benchmark compares exists."""

import importlib.util
from pathlib import Path

import pytest
import yaml
from workspace import PROJECT

from fishbone.provenance.lock import studies
from fishbone.provenance.params import STAGES


@pytest.mark.parametrize("study", studies(PROJECT))
def test_nothing_to_do_asks_dvc_for_the_stages_of_the_study(study, monkeypatch):
    monkeypatch.chdir(PROJECT)
    found = importlib.util.spec_from_file_location("nothing_to_do", PROJECT / "benchmarks" / "nothing_to_do.py")
    benchmark = importlib.util.module_from_spec(found)
    found.loader.exec_module(benchmark)
    commands = benchmark.commands(study)
    for name in ("dvc status", "dvc repro"):
        (target,) = commands[name][commands[name].index(name.split()[1]) + 1 :]
        stages = yaml.safe_load(Path(target).read_text())["stages"]
        assert set(stages) <= set(STAGES)
        assert all(f"study={study}" in stage["cmd"] or study == "quick" for stage in stages.values())
