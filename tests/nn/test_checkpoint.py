import pytest
import torch

from fishbone.errors import InputError
from fishbone.files import read_tensors, write_tensors
from fishbone.nn.checkpoint import Checkpoint, read_checked, write_checked


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


def test_the_same_work_may_list_its_parameters_in_another_order(tmp_path):
    Checkpoint(tmp_path / "c.safetensors", {"lr": 0.1, "seed": 3}).save({}, {"epoch": 2})
    assert Checkpoint(tmp_path / "c.safetensors", {"seed": 3, "lr": 0.1}).load() == ({}, {"epoch": 2})


def test_damaged_checkpoint_is_named(tmp_path):
    path = tmp_path / "c.safetensors"
    path.write_bytes(b"not tensors")
    with pytest.raises(InputError, match=r"c\.safetensors"):
        Checkpoint(path, {}).load()


def test_no_path_keeps_nothing(tmp_path):
    checkpoint = Checkpoint(None, {})
    checkpoint.save({"w": torch.zeros(1)}, {})
    assert checkpoint.load() is None


def test_no_flipped_bit_gets_through(tmp_path):
    path = tmp_path / "c.safetensors"
    checkpoint = Checkpoint(path, {"lr": 0.1})
    kept = {"w": torch.arange(4.0).reshape(2, 2), "mask": torch.tensor([True, False]), "steps": torch.tensor(3)}
    state = {"history": [{"loss": 0.1}]}
    checkpoint.save(kept, state)
    content = path.read_bytes()
    damaged = []
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        try:
            tensors, read = checkpoint.load()
        except InputError as error:
            damaged.append(str(error))
        else:  # a space between two parts of the header
            assert all(torch.equal(tensors[name], value) for name, value in kept.items())
            assert read == state
    assert len(damaged) > 0.98 * len(content)
    assert all("is damaged" in message and f"Delete {path} and run again." in message for message in damaged)


def test_checkpoint_of_an_earlier_version_is_ignored(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c.safetensors", {"lr": 0.1})
    write_tensors(checkpoint.path, {"w": torch.ones(1)}, {"identity": checkpoint.identity, "state": {}})
    assert checkpoint.load() is None


def test_checkpoint_is_one_process_own_from_the_first_look_to_the_end_of_the_work(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c.safetensors", {})
    checkpoint.load()
    assert {path.name for path in tmp_path.iterdir()} == {"c.safetensors.lock"}
    checkpoint.save({}, {})
    checkpoint.remove()
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_that_was_never_looked_at_is_one_process_own_from_the_first_save(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c.safetensors", {})
    checkpoint.save({}, {})
    assert {path.name for path in tmp_path.iterdir()} == {"c.safetensors", "c.safetensors.lock"}


def test_work_that_kept_nothing_leaves_nothing_to_remove(tmp_path):
    Checkpoint(tmp_path / "c.safetensors", {}).remove()
    Checkpoint(None, {}).remove()
    assert list(tmp_path.iterdir()) == []


def test_the_order_of_a_headers_keys_is_no_part_of_its_content(tmp_path):
    path = tmp_path / "c.safetensors"
    write_checked(path, {"w": torch.ones(2)}, {"b": 1, "a": {"d": 2, "c": 3}})
    tensors, header = read_tensors(path)
    write_tensors(path, tensors, dict(sorted(header.items())) | {"a": {"c": 3, "d": 2}})
    assert read_checked(path)[1] == {"a": {"c": 3, "d": 2}, "b": 1}


def test_the_same_bytes_of_another_type_are_damage(tmp_path):
    path = tmp_path / "c.safetensors"
    write_checked(path, {"w": torch.ones(2)}, {})
    tensors, header = read_tensors(path)
    write_tensors(path, {"w": tensors["w"].view(torch.int32)}, header)
    with pytest.raises(InputError, match="does not have its checksum"):
        read_checked(path)
