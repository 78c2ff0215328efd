import json

import numpy as np
import onnxruntime as ort
import pytest
import torch
from click.testing import CliRunner
from small_onnx import classifier, save_images

from fishbone.cli import cli
from fishbone.data.dataset import load_dataset
from fishbone.edge import checked
from fishbone.edge.facts import facts, read_onnx
from fishbone.errors import InputError
from fishbone.files import sha256, write_tensors
from fishbone.nn.models import build, save_model, sidecar
from fishbone.stages.export import Params

PARAMS = {
    "opset": 18, "parity_images": 20, "calibration_images": 30, "licence": "Apache-2.0", "threads": 1,
    "channels": {"images": 30, "gammas": [0.001], "padding": 0, "flip": False},
}  # fmt: skip
ARCHITECTURE = {"name": "resnet", "depth": 8, "width": 4, "channels": 1, "classes": 3}


class Files:
    """A pruned network as `fishbone prune` leaves it."""

    def __init__(self, folder):
        self.folder, self.out = folder, folder / "out" / "fls-0.75.onnx"
        self.data = save_images(folder / "small.npz", side=12)
        model = build(ARCHITECTURE)
        self.masks = {}
        for name, value in model.named_parameters():
            if value.ndim == 4:
                self.masks[name] = torch.rand(value.shape, generator=torch.Generator().manual_seed(1)) < 0.25
                value.data.mul_(self.masks[name])
        self.model, self.mask = folder / "0.75.safetensors", folder / "0.75.mask.safetensors"
        save_model(self.model, model, sidecar(ARCHITECTURE, load_dataset(self.data)) | {"method": "fls"})
        write_tensors(self.mask, {name: mask.to(torch.uint8) for name, mask in self.masks.items()})

    def run(self, *more, **changes):
        given = {"model": self.model, "mask": self.mask, "data": self.data, "out": self.out} | changes
        options = [text for key, value in given.items() for text in (f"--{key}", str(value))]
        return CliRunner().invoke(cli, ["export", *options, "--params", json.dumps(PARAMS), *more])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def exported(files):
    torch.set_num_threads(1)
    result = files.run()
    assert result.exit_code == 0, result.output
    return files


def test_export_writes_the_file_and_its_facts(exported):
    written = json.loads(exported.out.with_suffix(".json").read_text())
    assert set(written) == {"facts", "parity", "provenance"}
    assert written["facts"] == facts(read_onnx(exported.out), exported.out.read_bytes()).model_dump()
    assert written["facts"]["sha256"] == sha256(exported.out)
    assert written["parity"]["images"] == PARAMS["parity_images"]


def test_facts_count_what_the_masks_keep(exported):
    written = json.loads(exported.out.with_suffix(".json").read_text())
    kept = sum(int(mask.sum()) for mask in exported.masks.values())
    dense = np.prod(build(ARCHITECTURE).fc.weight.shape)
    assert written["facts"]["nonzero"] == kept + dense


@pytest.fixture(scope="module")
def quantised(exported):
    out = exported.folder / "out" / "fls-0.75-u8s8.onnx"
    result = exported.run("--int8", "u8s8", out=out)
    assert result.exit_code == 0, result.output
    assert "McNemar" in result.output
    return out


def test_an_int8_file_keeps_its_zeros_and_what_is_counted(exported, quantised):
    before = json.loads(exported.out.with_suffix(".json").read_text())["facts"]
    after = json.loads(quantised.with_suffix(".json").read_text())["facts"]
    assert (after["quantised"], before["quantised"]) == (True, False)
    assert (after["weights"], after["macs"]) == (before["weights"], before["macs"])
    assert after["nonzero"] <= before["nonzero"]  # rounding may add zeros
    assert after["nonzero"] >= 0.97 * before["nonzero"]
    assert after["parameters"] == before["parameters"]
    assert after["sparse_macs"] <= before["sparse_macs"]


def test_the_cost_of_int8_is_counted_image_by_image(exported, quantised):
    cost = json.loads(quantised.with_suffix(".json").read_text())["int8"]
    dataset = load_dataset(exported.data)
    inputs, labels = dataset.normalise(dataset.images[dataset.test]), dataset.labels[dataset.test]
    right = {}
    for file in (exported.out, quantised):
        logits = ort.InferenceSession(file).run(None, {"image": inputs})[0]
        right[file] = logits.argmax(1) == labels
    assert cost["images"] == len(labels)
    assert cost["accuracy_before"] == right[exported.out].mean()
    assert cost["lost"] == (right[exported.out] & ~right[quantised]).sum()
    assert cost["won"] == (~right[exported.out] & right[quantised]).sum()
    assert cost["sqnr_db"] > 15


def test_an_int8_file_has_the_same_bytes_each_time(exported, quantised):
    again = quantised.with_name("again.onnx")
    assert exported.run("--int8", "u8s8", out=again).exit_code == 0
    assert sha256(again) == sha256(quantised)


def test_a_network_without_some_channels_is_smaller_and_dense(files, tmp_path):
    wide = {**ARCHITECTURE, "width": 16}
    weights, out = tmp_path / "model.safetensors", tmp_path / "channels-0.5.onnx"
    save_model(weights, build(wide), sidecar(wide, load_dataset(files.data)))
    options = {"model": weights, "data": files.data, "channels": 0.5, "out": out, "params": json.dumps(PARAMS)}
    arguments = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    result = CliRunner().invoke(cli, ["export", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    written = json.loads(out.with_suffix(".json").read_text())
    dense = sum(value.numel() for value in build(wide).parameters() if value.ndim >= 2)
    assert written["facts"]["nonzero"] == written["facts"]["weights"] < 0.75 * dense
    assert set(written["provenance"]["channels"]) == {"blocks.0", "blocks.1", "blocks.2"}


def test_provenance_tells_where_the_network_came_from(exported):
    written = json.loads(exported.out.with_suffix(".json").read_text())["provenance"]
    dataset = load_dataset(exported.data)
    assert written["parent"] == sha256(exported.model)
    assert written["data"] == {"name": "small", "sha256": dataset.digest}
    assert (written["method"], written["licence"]) == ("fls", "Apache-2.0")
    assert written["mean"] == pytest.approx(dataset.mean.tolist())
    assert written["class_names"] == list(dataset.class_names)


def test_a_failing_gate_ends_with_1_and_leaves_no_file(files, monkeypatch, tmp_path):
    out = tmp_path / "stale.onnx"
    for stale in (out, out.with_suffix(".json")):
        stale.write_text("of an earlier run")
    monkeypatch.setattr(checked, "to_onnx", lambda *_: classifier())
    result = files.run(out=out)
    assert result.exit_code == 1
    assert "was not exported: conv1.weight is not in the graph" in result.output
    assert list(tmp_path.iterdir()) == []


def test_wrong_inputs_are_named_before_work_starts(files, tmp_path):
    other = save_images(tmp_path / "other.npz", count=60)
    loose = tmp_path / "loose.safetensors"
    write_tensors(loose, {"conv1.weight": torch.zeros(4, 1, 3, 3, dtype=torch.uint8)})
    for changes, match in [
        ({"data": other}, "not the data that"),
        ({"mask": loose}, r"conv1\.weight: hides weights"),
        ({"out": tmp_path / "model.pt"}, r"\.onnx"),
        ({"model": tmp_path / "none.safetensors"}, "missing"),
    ]:
        error = files.run(**changes).exception
        assert isinstance(error, InputError)
        with pytest.raises(InputError, match=match):
            raise error


def test_opsets_that_cannot_be_exported_are_refused_at_once():
    with pytest.raises(InputError, match="opset"):
        Params.parse(PARAMS | {"opset": 17}, file="params.yaml")
