import pytest
import torch

from fishbone.errors import InputError
from fishbone.nn.checkpoint import Checkpoint


def test_checkpoint_of_this_work_comes_back_whole(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c.safetensors", {"lr": 0.1})
    assert checkpoint.load() is None
    checkpoint.save({"w": torch.arange(3.0)}, {"epoch": 2, "history": [{"loss": 0.1}]})
    tensors, state = checkpoint.load()
    assert torch.equal(tensors["w"], torch.arange(3.0))
    assert state == {"epoch": 2, "history": [{"loss": 0.1}]}
    checkpoint.remove()
    assert checkpoint.load() is None


def test_checkpoint_of_other_work_is_ignored(tmp_path):
    Checkpoint(tmp_path / "c.safetensors", {"lr": 0.1}).save({}, {"epoch": 2})
    assert Checkpoint(tmp_path / "c.safetensors", {"lr": 0.2}).load() is None


def test_damaged_checkpoint_is_named(tmp_path):
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"not tensors")
    with pytest.raises(InputError, match=r"c\.safetensors"):
        Checkpoint(path, {}).load()


def test_no_path_keeps_nothing(tmp_path):
    checkpoint = Checkpoint(None, {})
    checkpoint.save({"w": torch.zeros(1)}, {})
    assert checkpoint.load() is None
