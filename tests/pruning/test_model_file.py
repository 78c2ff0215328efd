"""Networks of somebody else's file."""

import re
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fishbone.errors import InputError
from fishbone.pruning.model_file import REMEDY, load_model_file

SOURCE = """
import dataclasses
import torch

@dataclasses.dataclass
class Sizes:
    inputs: int = 3

def make():
    return torch.nn.Linear(Sizes().inputs, 2)

def number():
    return 7

constant = 7
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "net.py").write_text(SOURCE)
    model = nn.Linear(3, 2)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    return tmp_path / "net.py", tmp_path / "weights.safetensors", model


def test_the_functions_network_has_the_files_weights_and_is_in_eval_mode(files, monkeypatch):
    file, weights, model = files
    monkeypatch.delitem(sys.modules, "fishbone_model_file", raising=False)
    found = load_model_file(f"{file}:make", weights)
    assert not found.training
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in found.state_dict().items())
    assert sys.modules["fishbone_model_file"].Sizes().inputs == 3


def test_folders_may_have_colons_in_their_names(files, tmp_path):
    _, weights, model = files
    (tmp_path / "a:b").mkdir()
    (tmp_path / "a:b" / "net.py").write_text(SOURCE)
    assert torch.equal(load_model_file(f"{tmp_path}/a:b/net.py:make", weights).weight, model.weight)


def test_what_makes_no_network_is_refused_by_name(files, tmp_path):
    file, weights, _ = files
    (tmp_path / "net.txt").write_text(SOURCE)
    for spec, message in {
        "make": "--model-file: there is no such Python file (got 'make')",
        f"{tmp_path}/other.py:make": "there is no such Python file",
        f"{tmp_path}/net.txt:make": "not a .py file",
        f"{file}:build": "it has no function build",
        f"{file}:constant": "it has no function constant",
        f"{file}:number": "number() returned a int",
    }.items():
        with pytest.raises(InputError, match=re.escape(message)) as caught:
            load_model_file(spec, weights)
        assert str(caught.value).endswith(REMEDY), spec
        assert "--model-file" in str(caught.value)


def test_weights_of_another_network_are_refused(files, tmp_path):
    file, _, _ = files
    save_file({"weight": torch.zeros(5, 3), "bias": torch.zeros(5)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"other\.safetensors: weights do not fit .*net\.py:make(.|\n)*size mismatch"):
        load_model_file(f"{file}:make", tmp_path / "other.safetensors")
