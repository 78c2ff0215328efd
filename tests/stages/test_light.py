"""A verb's help, and what the workflow asks of a stage, need none of the stage's heavy libraries."""

import subprocess
import sys

import pytest

from fishbone.provenance.params import STAGES

HEAVY = ("torch", "numpy", "onnx", "onnxruntime", "rich", "matplotlib", "jinja2", "scipy")


@pytest.mark.parametrize("stage", STAGES)
def test_the_command_and_its_parameters_import_nothing_heavy(stage):
    absent = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r}))"
    asked = f"import fishbone.stages.{stage}.command, fishbone.stages.{stage}.params"
    done = subprocess.run([sys.executable, "-c", f"{absent}; {asked}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
