import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from killing import hashes, kill_when, run

from fishbone.data.dataset import save_dataset
from fishbone.errors import InputError
from fishbone.files import sha256
from fishbone.nn.checkpoint import Checkpoint
from fishbone.seeding import numpy_generator
from fishbone.stages.train.command import command
from fishbone.stages.train.params import Params

PARAMS = {
    "depth": 8, "width": 4, "epochs": 4, "batch": 32, "learning_rate": 0.2, "warmup": 0.3, "momentum": 0.9,
    "weight_decay": 0.0005, "padding": 0, "flip": True, "early_epochs": 2, "early_size": 12, "precision": "auto",
    "device": "cpu", "threads": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Ten classes of noisy stripes, 16x16."""
    path = tmp_path_factory.mktemp("data") / "stripes.npz"
    draw = numpy_generator(0, "stripes")
    labels = draw.integers(0, 10, 600)
    images = draw.integers(0, 80, (600, 16, 16, 1))
    images[range(600), labels] += 150
    splits = {"train": draw.permutation(400), "validation": np.arange(400, 500), "test": np.arange(500, 600)}
    names = [str(i) for i in range(10)]
    save_dataset(path, images=images.astype(np.uint8), labels=labels, **splits, class_names=names)
    return path


def arguments(data, out, checkpoint):
    files = {"--data": data, "--out": out, "--checkpoint": checkpoint}
    return ["train", "--seed", "0", "--params", json.dumps(PARAMS), *(str(x) for pair in files.items() for x in pair)]


def test_killed_training_resumes_to_the_bit_identical_end(data, tmp_path):
    run(arguments(data, tmp_path / "whole", tmp_path / "whole.safetensors"))
    checkpoint = tmp_path / "killed.safetensors"
    killed = arguments(data, tmp_path / "killed", checkpoint)
    kill_when(killed, checkpoint.exists)
    identity = {
        "params": Params(**PARAMS).model_dump(),
        "data": sha256(data),
        "seed": 0,
    }
    _, state = Checkpoint(checkpoint, identity).load()
    assert 1 <= len(state["history"]) < PARAMS["epochs"]
    assert not (tmp_path / "killed").exists()
    run(killed)
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "whole")
    assert not checkpoint.exists()
    metrics = json.loads((tmp_path / "whole" / "metrics.json").read_text())
    assert metrics["test_accuracy"] > 0.8


def test_weights_beyond_half_precision_are_not_written_and_the_message_says_what_to_change(data, tmp_path, monkeypatch):
    def grown(model, *_):
        with torch.no_grad():
            model.fc.weight.fill_(1e5)
        return []

    monkeypatch.setattr("fishbone.stages.train.job.train", grown)
    _, *words = arguments(data, tmp_path / "out", tmp_path / "c.safetensors")
    told = CliRunner().invoke(command, words, standalone_mode=False).exception
    assert isinstance(told, InputError)
    assert str(told).startswith("learning_rate: training diverged in rounding to half precision")
    assert "raise weight_decay" in str(told)
    assert not (tmp_path / "out" / "model.safetensors").exists()
