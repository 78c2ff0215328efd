import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from fishbone import cli
from fishbone.data import sources
from fishbone.data.dataset import load_dataset
from fishbone.data.sources import idx
from fishbone.errors import InputError
from fishbone.files import sha256

PARAMS = {"seed": 0, "validation": 0.1, "test": 0.2, "root": None, "threads": 1}
RNG = np.random.default_rng(0)
MINE = {
    "x_train": RNG.integers(0, 256, (30, 4, 4, 3), dtype=np.uint8),
    "y_train": np.arange(30) % 3,
    "x_test": RNG.integers(0, 256, (6, 4, 4, 3), dtype=np.uint8),
    "y_test": np.arange(6) % 3,
}


@pytest.fixture(autouse=True)
def no_data_of_this_machine(monkeypatch):
    monkeypatch.delenv("FISHBONE_DATA", raising=False)


def arguments(out, source, name="mine", **params):
    block = {**PARAMS, "sources": {name: source}, **params}
    return ["prepare", "mine", "--params", json.dumps(block), "--out", str(out)]


def prepare(out, source, **params):
    CliRunner().invoke(cli.cli, arguments(out, source, **params), standalone_mode=False, catch_exceptions=False)
    return out


@pytest.mark.parametrize("kind", ["digits", "mnist5k"])
def test_two_runs_give_the_same_bytes(tmp_path, kind):
    first, again = (prepare(tmp_path / name / "mine.npz", {"kind": kind}) for name in ("a", "b"))
    assert first.read_bytes() == again.read_bytes()
    assert first.with_suffix(".json").read_bytes() == again.with_suffix(".json").read_bytes()


def test_the_file_holds_every_image_with_the_official_test_split(tmp_path):
    np.savez(tmp_path / "raw.npz", **MINE)
    out = prepare(tmp_path / "out" / "mine.npz", {"kind": "npz", "path": "raw.npz"}, root=str(tmp_path))
    data = load_dataset(out)
    np.testing.assert_array_equal(data.images, np.concatenate([MINE["x_train"], MINE["x_test"]]))
    np.testing.assert_array_equal(data.test, np.arange(30, 36))
    np.testing.assert_array_equal(np.bincount(data.labels[data.validation]), [1, 1, 1])
    np.testing.assert_allclose(data.mean, (data.images[data.train] / 255).mean(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(data.std, (data.images[data.train] / 255).std(axis=(0, 1, 2)), rtol=1e-5)


def test_the_summary_tells_source_hashes_and_counts_but_no_path(tmp_path):
    np.savez(tmp_path / "raw.npz", **MINE)
    out = prepare(tmp_path / "out" / "mine.npz", {"kind": "npz", "path": str(tmp_path / "raw.npz")})
    text = out.with_suffix(".json").read_text()
    summary = json.loads(text)
    assert str(tmp_path) not in text
    assert summary["source"] == "npz"
    assert summary["files"] == {"raw.npz": sha256(tmp_path / "raw.npz")}
    assert summary["sha256"] == sha256(out)
    assert summary["official_test"] is True
    assert summary["counts"] == {"train": 27, "validation": 3, "test": 6}
    assert summary["class_counts"]["train"] == [9, 9, 9]
    assert summary["shape"] == [4, 4, 3]
    assert len(summary["mean"]) == len(summary["std"]) == 3


def test_the_environments_folder_goes_before_the_root(tmp_path, monkeypatch):
    for name, count in (("env", 30), ("root", 20)):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "raw.npz", images=MINE["x_train"][:count], labels=MINE["y_train"][:count])
    source = {"kind": "npz", "path": "raw.npz"}
    monkeypatch.setenv("FISHBONE_DATA", str(tmp_path / "env"))
    out = prepare(tmp_path / "mine.npz", source, root=str(tmp_path / "root"))
    assert len(load_dataset(out).images) == 30


def test_wrong_input_keeps_the_old_output_and_leaves_no_new_one(tmp_path):
    np.savez(tmp_path / "raw.npz", **MINE)
    source = {"kind": "npz", "path": str(tmp_path / "raw.npz")}
    out = prepare(tmp_path / "out" / "mine.npz", source)
    before = {path.name: path.read_bytes() for path in out.parent.iterdir()}
    np.savez(tmp_path / "raw.npz", **{**MINE, "y_test": np.arange(5)})
    for path in (out, tmp_path / "other" / "mine.npz"):
        with pytest.raises(InputError, match=r"raw\.npz: labels: 6 images but 5 labels"):
            prepare(path, source)
    assert {path.name: path.read_bytes() for path in out.parent.iterdir()} == before
    assert not (tmp_path / "other").exists()


def test_a_source_that_cannot_be_had_exits_2_and_says_how_to_point_to_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    unreachable = replace(idx.MNIST, url="http://127.0.0.1:9")
    monkeypatch.setitem(sources.NAMED, "mnist", lambda request: idx.read(unreachable, request))
    monkeypatch.setattr(sys, "argv", ["fishbone", *arguments(tmp_path / "out" / "mine.npz", {"kind": "mnist"})])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    message = capsys.readouterr().err
    for part in ("train-images-idx3-ubyte.gz", "http://127.0.0.1:9/train-images", "FISHBONE_DATA", "prepare.root"):
        assert part in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("source", "params", "message"),
    [
        ({"kind": "imagenet"}, {}, r"--params: sources\.mine: .*'imagenet'"),
        ({"kind": "digits", "path": "x"}, {}, r"sources\.mine.*path: unknown key"),
        ({"kind": "npz"}, {}, r"sources\.mine.*path: key is missing"),
        ({"kind": "digits"}, {"validation": 0.0}, "--params: validation: .*greater than 0"),
        ({"kind": "digits"}, {"test": 1.0}, "--params: test: .*less than 1"),
        (
            {"kind": "digits"},
            {"name": "yours"},
            r"--params: sources: no such data set \(got 'mine'\)\. Choose one of yours",
        ),
        ({"kind": "digits"}, {"name": "../mine"}, r"--params: sources.*pattern"),
    ],
)
def test_wrong_parameters_are_named(tmp_path, source, params, message):
    with pytest.raises(InputError, match=message):
        prepare(tmp_path / "mine.npz", source, **params)


def test_the_output_must_be_an_npz(tmp_path):
    with pytest.raises(InputError, match=r"--out: not an \.npz file"):
        prepare(tmp_path / "mine.zip", {"kind": "digits"})
