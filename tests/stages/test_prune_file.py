"""``fishbone prune --model-file``: a network that the package has never seen."""

from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner
from stripes import save_stripes

from fishbone.errors import InputError
from fishbone.files import read_json, read_tensors, write_tensors
from fishbone.stages.prune.command import command

NET = """
import torch


def make_net():
    layers = [torch.nn.Conv2d(1, 6, 3), torch.nn.ReLU(), torch.nn.Conv2d(6, 6, 3), torch.nn.BatchNorm2d(6)]
    return torch.nn.Sequential(*layers, torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(96, 3))
"""


@pytest.fixture
def given(tmp_path) -> dict[str, str]:
    """Options that prune half of a network of one's own."""
    (tmp_path / "net.py").write_text(NET)
    namespace = {}
    exec(NET, namespace)
    write_tensors(tmp_path / "w.safetensors", namespace["make_net"]().state_dict())
    return {
        "--model-file": f"{tmp_path}/net.py:make_net",
        "--weights": f"{tmp_path}/w.safetensors",
        "--data": str(save_stripes(tmp_path / "stripes.npz")),
        "--sparsity": "0.5",
        "--out": f"{tmp_path}/out",
    }


def prune(options: dict[str, str]) -> None:
    words = [word for option, value in options.items() for word in (option, value)]
    result = CliRunner().invoke(command, words, standalone_mode=False)
    if result.exception:
        raise result.exception


def test_half_of_the_inner_weights_are_removed(given):
    prune(given | {"--temperature": "3"})
    out = Path(given["--out"])
    assert read_json(out / "metrics.json")["sparsity"] == 0.5
    masks, _ = read_tensors(out / "pruned.mask.safetensors")
    weights, _ = read_tensors(out / "pruned.safetensors")
    assert set(masks) == {"2.weight"}
    assert int((~masks["2.weight"]).sum()) == 162
    assert torch.count_nonzero(weights["2.weight"][~masks["2.weight"]]) == 0


def test_a_run_that_cannot_be_written_is_kept_and_taken_up(given, tmp_path, monkeypatch):
    checkpoint = tmp_path / "progress.safetensors"
    monkeypatch.setattr("fishbone.stages.prune.file_job.write_json", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prune(given | {"--checkpoint": str(checkpoint)})
    monkeypatch.undo()
    assert checkpoint.exists()
    prune(given | {"--checkpoint": str(checkpoint)})
    assert not checkpoint.exists()
    assert (tmp_path / "out" / "pruned.safetensors").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--model": "model.safetensors"}, "--model-file and --model exclude"),
        ({"--weights": None}, "needs --weights"),
        ({"--model-file": "{net}:other"}, "no function other"),
        ({"--model-file": "gone.py:make"}, "no such Python file"),
        ({"--pattern": "1:4"}, "4 does not divide"),
        ({"--model-file": None, "--weights": None}, "needs --model"),
    ],
)
def test_wrong_options_are_refused_by_name(given, tmp_path, change, message):
    changed = given | {k: v and v.format(net=tmp_path / "net.py") for k, v in change.items()}
    with pytest.raises((InputError, click.UsageError)) as caught:
        prune({option: value for option, value in changed.items() if value is not None})
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()
