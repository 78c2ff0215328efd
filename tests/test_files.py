import os
from stat import S_ISDIR

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fishbone.errors import InputError
from fishbone.files import (
    read_json,
    read_tensors,
    replacing,
    sha256,
    try_output,
    write_history,
    write_json,
    write_npz,
    write_tensors,
)
from fishbone.seeding import derive, numpy_generator, torch_generator


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half" + str(1 / 0))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    calls = []
    flush, rename = os.fsync, os.replace
    kinds = {True: "folder", False: "file"}
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(kinds[S_ISDIR(os.fstat(fd).st_mode)]), flush(fd)))
    monkeypatch.setattr(os, "replace", lambda old, new: (calls.append("rename"), rename(old, new)))
    write_json(tmp_path / "a.json", 1)
    assert calls == ["file", "rename", "folder"]


def test_temporary_files_of_killed_writers_are_swept_and_no_others(tmp_path):
    others = [".a.txt.json", ".a.txt.abcdefgh.json", ".b.txt.abcdefgh.txt", ".a.txt.abc.txt", "a.txt.abcdefgh.txt"]
    for name in [".a.txt.abcdefgh.txt", ".a.txt.q_3z0987.txt", *others]:
        (tmp_path / name).write_text("")
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("slow")
        with replacing(tmp_path / "a.txt") as faster:
            faster.write_text("fast")
        assert temporary.exists()
    assert (tmp_path / "a.txt").read_text() == "slow"
    assert {path.name for path in tmp_path.iterdir()} == {"a.txt", *others}


def test_an_output_that_can_be_written_is_tried_without_a_trace(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    try_output(tmp_path / "a.txt")
    try_output(tmp_path / "new" / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "a.txt"]


@pytest.mark.parametrize("place", ["file/a.txt", "folder", "n" * 245 + ".onnx"])
def test_an_output_that_cannot_be_written_is_named_beforehand(tmp_path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"--out: cannot be written: .*Give a place that you may write to"):
        try_output(tmp_path / place)


def test_same_content_gives_the_same_bytes(tmp_path):
    for name in "ab":
        write_npz(tmp_path / f"{name}.npz", {"x": np.arange(5), "y": np.array(["p", "q"])})
        write_tensors(tmp_path / f"{name}.safetensors", {"x": torch.arange(5.0)}, {"one": 1, "two": [2]})
    write_json(tmp_path / "a.json", {"x": 1, "y": 2})
    write_json(tmp_path / "b.json", {"y": 2, "x": 1})
    for suffix in ("npz", "safetensors", "json"):
        assert sha256(tmp_path / f"a.{suffix}") == sha256(tmp_path / f"b.{suffix}")


def test_tensors_and_header_come_back(tmp_path):
    header = {"step": 3, "history": [{"z": 1.5, "a": 2}]}
    write_tensors(tmp_path / "t.safetensors", {"x": torch.ones(2, 3).T}, header)
    tensors, read = read_tensors(tmp_path / "t.safetensors")
    assert torch.equal(tensors["x"], torch.ones(3, 2))
    assert list(read["history"][0]) == ["z", "a"]


def test_not_a_number_is_refused_in_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_missing_and_broken_json_are_named(tmp_path):
    with pytest.raises(InputError, match=r"a\.json: file is missing"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InputError, match=r"a\.json: not valid JSON"):
        read_json(tmp_path / "a.json")


def test_history_starts_with_the_step(tmp_path):
    write_history(tmp_path / "h.csv", [{"loss": 0.5, "step": 1}, {"loss": 0.25, "step": 2}])
    assert (tmp_path / "h.csv").read_text() == "step,loss\n1,0.5\n2,0.25\n"


@given(st.integers(0, 2**62), st.lists(st.one_of(st.text(), st.integers()), max_size=4))
def test_the_same_key_draws_the_same_and_another_key_something_else(seed, key):
    assert derive(seed, *key) == derive(seed, *key)
    assert 0 <= derive(seed, *key) < 2**63
    assert derive(seed, *key) != derive(seed, *key, "further")
    assert derive(seed, *key) != derive(seed + 1, *key)


def test_generators_of_one_key_agree_and_leave_the_global_one_alone():
    before = torch.random.get_rng_state()
    assert torch.equal(
        torch.rand(3, generator=torch_generator(1, "a")), torch.rand(3, generator=torch_generator(1, "a"))
    )
    assert (numpy_generator(1, "a").random(3) != numpy_generator(1, "b").random(3)).all()
    assert torch.equal(torch.random.get_rng_state(), before)
