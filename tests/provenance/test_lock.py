"""What a study's record says, and where it lies."""

from pathlib import Path

import pytest

from fishbone.errors import InputError
from fishbone.provenance.lock import Recorded, folder, outputs, recorded, studies

LOCK = """schema: '2.0'
stages:
  train:
    cmd: x
    deps:
    - path: results/mine/prepare/a.npz
      md5: aa
    params:
      studies/mine/resolved.yaml:
        train:
          rule: r
          sources: s
          params:
            learning_rate: 1e-05
            epochs: 3
    outs:
    - path: results/mine/train/a/seed0/metrics.json
      md5: bb
"""


def test_a_record_is_read_as_dvc_writes_it_small_numbers_too(tmp_path):
    assert recorded("mine", tmp_path) == {}
    (tmp_path / "studies/mine").mkdir(parents=True)
    (tmp_path / "studies/mine/dvc.lock").write_text(LOCK)
    metrics = "results/mine/train/a/seed0/metrics.json"
    assert recorded("mine", tmp_path) == {
        "train": Recorded(
            "r", "s", {"learning_rate": 0.00001, "epochs": 3}, {"results/mine/prepare/a.npz": "aa"}, {metrics: "bb"}
        )
    }
    assert outputs("mine", tmp_path) == {metrics: "bb"}


def test_the_quick_study_lies_in_the_root_and_the_others_in_folders(tmp_path):
    for name in ("b", "a"):
        (tmp_path / "studies" / name).mkdir(parents=True)
        (tmp_path / "studies" / name / "params.yaml").write_text("")
    (tmp_path / "studies/c").mkdir()
    assert studies(tmp_path) == ["quick", "a", "b"]
    assert folder("quick") == Path()
    assert folder("a") == Path("studies/a")


@pytest.mark.parametrize(
    "text",
    ["<<<<<<< HEAD", "stages: []", "stages:", "stages: {a: {outs: [{path: x}]}}", "a: [", "<<<<<<< HEAD\nstages: {}\n"],
)
def test_a_record_that_is_none_is_one_line_with_the_file(tmp_path, text):
    (tmp_path / "dvc.lock").write_text(text)
    with pytest.raises(InputError, match=r"dvc\.lock: cannot be read: .*git checkout"):
        recorded("quick", tmp_path)
