"""The library's entrance: ``measure`` and what its rows say."""

import json

import pytest
from small_onnx import STATED, save_classifier, save_images

from fishbone.bench.devices import kinds
from fishbone.bench.devices.file import read_devices
from fishbone.bench.devices.outcome import Outcome
from fishbone.bench.procedure import Procedure
from fishbone.bench.run import measure
from fishbone.data.dataset import load_dataset
from fishbone.errors import InputError
from fishbone.export.metadata import as_texts

QUICK = Procedure(seconds=0.05, sittings=8, block_ms=1.0, warmup_seconds=0.0, cold_runs=0, images=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    for seed, name in enumerate(("a", "b")):
        save_classifier(folder / f"{name}.onnx", seed=seed, metadata=STATED)
    save_images(folder / "d.npz")
    return folder


def test_files_are_measured_on_this_machine_from_python(folder):
    (result,) = measure([folder / "a.onnx", str(folder / "b.onnx")], folder / "d.npz", baseline=1, procedure=QUICK)
    assert (result.device, result.status, result.complete, result.baseline) == ("local", "ok", True, "b")
    assert [model.accuracy.images for model in result.models] == [20, 20]
    assert result.models[0].speedup.low <= result.models[0].speedup.median <= result.models[0].speedup.high
    assert result.data_sha256 == load_dataset(folder / "d.npz").digest


def test_a_data_set_in_memory_is_as_good_as_its_file_and_each_device_gives_a_result(folder, monkeypatch):
    seen = []
    monkeypatch.setattr(kinds, "run_local", lambda task, _: seen.append(task.read_text()) or Outcome("timeout", "late"))
    (folder / "devices.yaml").write_text("one: {kind: local}\ntwo: {kind: local}\n")
    devices = read_devices(folder / "devices.yaml")
    for data in (folder / "d.npz", load_dataset(folder / "d.npz")):
        results = measure([folder / "a.onnx"], data, devices=devices, procedure=QUICK)
        assert [(result.device, result.status) for result in results] == [("one", "timeout"), ("two", "timeout")]
    assert len(seen) == 4
    assert len(set(seen)) == 1


def test_a_row_says_which_network_it_is_and_what_ran_it_whatever_became_of_it(folder, monkeypatch):
    monkeypatch.setattr(kinds, "run_local", lambda *_: Outcome("oom"))
    told = {
        "dense": {},
        "fls-0.9-u8s8": {"parent_sparsity": 0.9, "int8": "u8s8"},
        "x": {"parent_sparsity": 0.9, "method": "obs"},
        "channels-0.5": {"channel_fraction": 0.5},
    }
    files = [
        save_classifier(folder / f"{name}.onnx", metadata=as_texts({"parent": "71a5"} | facts))
        for name, facts in told.items()
    ]
    (result,) = measure([*files, folder / "a.onnx"], procedure=QUICK)
    rows = [(row.method, row.sparsity, row.int8, row.runtime) for row in result.models]
    assert rows == [
        ("dense", 0.0, None, "onnxruntime"),
        ("fls", 0.9, "u8s8", "onnxruntime"),
        ("obs", 0.9, None, "onnxruntime"),
        ("channels", 0.5, None, "onnxruntime"),
        (None, None, None, "onnxruntime"),
    ]
    assert json.loads(result.model_dump_json())["schema_version"] == 2


def test_what_cannot_be_measured_is_refused_before_any_device_is_asked(folder, monkeypatch):
    monkeypatch.setattr(kinds, "run_local", lambda *_: pytest.fail("a device was asked"))
    with pytest.raises(InputError, match="given twice"):
        measure([folder / "a.onnx"] * 2, procedure=QUICK)
    with pytest.raises(InputError, match="missing"):
        measure([folder / "none.onnx"], procedure=QUICK)
