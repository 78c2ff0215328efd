"""What a stage could not keep in the end is said before its work starts."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from holding import other_process
from stripes import save_stripes

from fishbone.cli import cli
from fishbone.errors import InputError
from fishbone.provenance.params import job_params, load_study

STUDY = load_study("quick", Path(__file__).parents[2])
VERBS = {
    "train": ["--seed", "0"],
    "prune": ["--model", "none.safetensors", "--seed", "0"],
    "federate": ["--method", "fedavg", "--seed", "0"],
    "gan": ["--method", "centralised", "--classifier", "none.safetensors", "--seed", "0"],
    "export": ["--model", "none.safetensors"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path, verb):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / ("out.onnx" if verb == "export" else "out")
    arguments = [verb, *VERBS[verb], "--data", "none.npz", "--params", job_params(verb, STUDY[verb]), "--out", str(out)]
    with pytest.raises(InputError, match="--out: cannot be written"):
        CliRunner().invoke(cli, arguments, catch_exceptions=False)


@pytest.mark.parametrize("verb", ["train", "federate"])
def test_a_second_job_on_a_checkpoint_is_refused_before_it_works(tmp_path, verb):
    checkpoint = tmp_path / "c.safetensors"
    files = ["--data", save_stripes(tmp_path / "stripes.npz"), "--out", tmp_path / "out", "--checkpoint", checkpoint]
    arguments = [verb, *VERBS[verb], "--params", job_params(verb, STUDY[verb]), *map(str, files)]
    with other_process(checkpoint) as process, pytest.raises(InputError) as refusal:
        CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert f"c.safetensors: process {process.pid} on " in str(refusal.value)
    assert not (tmp_path / "out").exists()
