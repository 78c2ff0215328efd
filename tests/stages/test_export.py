import json
import re

import numpy as np
import onnxruntime as ort
import pytest
import torch
from click.testing import CliRunner
from small_onnx import classifier, save_images

from fishbone.bench.reading import read
from fishbone.cli import cli
from fishbone.data.dataset import load_dataset, save_dataset
from fishbone.errors import InputError
from fishbone.export import checked, gates
from fishbone.export.facts import facts, read_onnx
from fishbone.export.from_torch import to_onnx
from fishbone.files import sha256
from fishbone.nn.models import build, save_model
from fishbone.nn.sidecar import Sidecar
from fishbone.pruning.networks import Network, save_networks
from fishbone.stages.export import Params

PARAMS = {
    "opset": 18, "parity_images": 20, "calibration_images": 30, "licence": "Apache-2.0", "threads": 1,
    "channels": {"images": 30, "gammas": [0.001], "padding": 0, "flip": False},
}  # fmt: skip
ARCHITECTURE = {"name": "resnet", "depth": 8, "width": 4, "channels": 1, "classes": 3}


class Files:
    """A trained network, pruned as `fishbone prune` leaves it."""

    def __init__(self, folder):
        self.folder, self.out = folder, folder / "out" / "fls-0.75.onnx"
        self.data = save_images(folder / "small.npz", side=12)
        dense, pruned = build(ARCHITECTURE), build(ARCHITECTURE)
        self.masks = {}
        for name, value in pruned.named_parameters():
            if value.ndim == 4:
                self.masks[name] = torch.rand(value.shape, generator=torch.Generator().manual_seed(1)) < 0.25
                value.data.mul_(self.masks[name])
        sidecar = Sidecar.of(ARCHITECTURE, load_dataset(self.data))
        self.dense, self.pruned = folder / "model.safetensors", folder / "networks.safetensors"
        save_model(self.dense, dense, sidecar)
        networks = {0.5: Network(dense, {}), 0.75: Network(pruned, self.masks)}
        save_networks(self.pruned, networks, sidecar)

    def run(self, *more, **changes):
        """One network by hand."""
        given = {"model": self.pruned, "sparsity": 0.75, "out": self.out} | changes
        return self.invoke(*more, **given)

    def invoke(self, *more, **given):
        given = {"data": self.data, "params": json.dumps(PARAMS)} | given
        options = [text for key, value in given.items() if value is not None for text in (f"--{key}", str(value))]
        return CliRunner().invoke(cli, ["export", *more, *options])


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


def test_what_is_exported_says_its_input_and_classes_so_that_bench_assumes_nothing(exported, quantised):
    dataset = load_dataset(exported.data)
    for file in (exported.out, quantised):
        session = ort.InferenceSession(file)
        inputs = dataset.normalise(dataset.images[dataset.test])
        outputs = {"logits": session.run(None, {"image": inputs})[0]}
        found = read(session.get_modelmeta().custom_metadata_map, outputs, len(inputs), False, dataset)
        assert (found.status, found.answer, found.reason) == ("ok", "scores", None)


def test_facts_count_what_the_masks_keep(exported):
    written = json.loads(exported.out.with_suffix(".json").read_text())
    kept = sum(int(mask.sum()) for mask in exported.masks.values())
    dense = np.prod(build(ARCHITECTURE).fc.weight.shape)
    assert written["facts"]["nonzero"] == kept + dense


@pytest.fixture(scope="module")
def quantised(exported):
    out = exported.folder / "out" / "fls-0.75-u8s8.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checked, "to_onnx", lambda *_: read_onnx(exported.out))  # PyTorch's exporter takes seconds
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


def test_a_network_without_some_channels_is_smaller_and_dense(files, tmp_path):
    wide = {**ARCHITECTURE, "width": 16}
    weights, out = tmp_path / "model.safetensors", tmp_path / "channels-0.5.onnx"
    save_model(weights, build(wide), Sidecar.of(wide, load_dataset(files.data)))
    result = files.invoke(model=weights, channels=0.5, out=out)
    assert result.exit_code == 0, result.output
    written = json.loads(out.with_suffix(".json").read_text())
    dense = sum(value.numel() for value in build(wide).parameters() if value.ndim >= 2)
    assert written["facts"]["nonzero"] == written["facts"]["weights"] < 0.75 * dense
    assert set(written["provenance"]["channels"]) == {"blocks.0", "blocks.1", "blocks.2"}


def test_provenance_tells_where_the_network_came_from(exported):
    written = json.loads(exported.out.with_suffix(".json").read_text())["provenance"]
    dataset = load_dataset(exported.data)
    assert (written["parent"], written["parent_sparsity"]) == (sha256(exported.pruned), 0.75)
    assert "sparsities" not in written
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
    expected = f"stale of {files.pruned} was not exported: conv1.weight is not in the graph"
    assert expected in result.output.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []


def test_wrong_inputs_are_named_before_work_starts(files, tmp_path):
    other = save_images(tmp_path / "other.npz", count=60)
    revived = tmp_path / "networks.safetensors"
    hidden = {"conv1.weight": torch.zeros(4, 1, 3, 3, dtype=torch.bool)}
    sidecar = Sidecar.of(ARCHITECTURE, load_dataset(files.data))
    save_networks(revived, {0.75: Network(build(ARCHITECTURE), hidden)}, sidecar)
    for changes, match in [
        ({"data": other}, r"networks\.safetensors: data\.sha256: was trained on other data"),
        ({"model": revived}, r"networks\.safetensors: conv1\.weight: hides weights"),
        ({"sparsity": 0.8}, r"--sparsity: .*got 0\.8.*Give one of 0\.5, 0\.75"),
        ({"sparsity": None}, r"--sparsity: .*Give one of 0\.5, 0\.75"),
        ({"out": tmp_path / "model.pt"}, r"\.onnx"),
        ({"model": tmp_path / "none.safetensors"}, "missing"),
    ]:
        error = files.run(**changes).exception
        assert isinstance(error, InputError)
        with pytest.raises(InputError, match=match):
            raise error


@pytest.fixture(scope="module")
def together(files):
    """All variants of a data set in one job: the folder, and how often PyTorch's exporter ran."""
    folder, calls = files.folder / "together", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checked, "to_onnx", lambda *given: calls.append(given) or to_onnx(*given))
        names = ("dense-u8s8", "dense", "fls-0.75", "fls-0.75-u8s8", "fls-0.75-s8s8")
        result = files.invoke(*names, "--networks", "fls", files.pruned, model=files.dense, out=folder)
    assert result.exit_code == 0, result.output
    assert sorted(path.stem for path in folder.glob("*.json")) == sorted(names)
    return folder, len(calls)


def test_a_job_exports_each_network_once_however_many_files_it_makes_of_it(together):
    assert together[1] == 2


def test_files_made_together_are_those_made_alone(together, exported, quantised):
    for alone in (exported.out, quantised):
        for file in (alone, alone.with_suffix(".json")):
            assert (together[0] / file.name).read_bytes() == file.read_bytes()


def test_a_failing_gate_names_its_variant_of_many(exported, monkeypatch, tmp_path):
    def fail(*_):
        raise gates.GateError("no")

    monkeypatch.setattr(checked, "to_onnx", lambda *_: read_onnx(exported.out))
    monkeypatch.setattr(gates, "check_quantised", fail)
    words = ("fls-0.75", "fls-0.75-u8s8", "--networks", "fls", exported.pruned)
    result = exported.invoke(*words, model=exported.dense, out=tmp_path)
    assert result.exit_code == 1
    assert f"fls-0.75-u8s8 of {exported.pruned} was not exported: no" in result.output.replace("\n", " ")
    assert not (tmp_path / "fls-0.75-u8s8.onnx").exists()


UNKNOWN = ["fls-0.75", "dense-0.5", "channels-1.5", "channels", "u8s8", "obs-0.75-u8s8", "../dense"]


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_variants_are_named_with_the_known_ones(files, tmp_path, name):
    error = files.invoke(name, "--networks", "obd", files.pruned, model=files.dense, out=tmp_path).exception
    assert isinstance(error, InputError)
    assert re.search(rf"VARIANT: .*'{name}'.*Give dense, channels-FRACTION, obd-SPARSITY", str(error))


def test_options_of_one_network_and_of_many_exclude_each_other(files, tmp_path):
    assert files.invoke("dense", model=files.dense, int8="u8s8", out=tmp_path).exit_code == 2
    assert files.run("--networks", "fls", files.pruned).exit_code == 2


def test_images_to_compare_and_calibrate_with_hold_every_class_of_a_sorted_split(tmp_path):
    labels = np.repeat([0, 1, 2, 0], [40, 40, 40, 1])
    images = np.repeat(labels, 16).reshape(-1, 4, 4, 1).astype(np.uint8)  # an image shows its class
    splits = {"train": np.arange(60, 120), "validation": np.arange(60), "test": np.array([120])}
    save_dataset(tmp_path / "sorted.npz", images=images, labels=labels, **splits, class_names=["a", "b", "c"])
    dataset = load_dataset(tmp_path / "sorted.npz")
    some = checked.some_images(dataset, "validation", 12, "parity")
    assert [len(part) for part in (some, checked.some_images(dataset, "validation", 100, "parity"))] == [12, 60]
    shown = np.unique(some[:, 0, 0, 0], return_counts=True)[1]
    assert shown.tolist() == [8, 4]
    again = checked.some_images(dataset, "validation", 12, "parity")
    assert np.array_equal(again, some)


def test_opsets_that_cannot_be_exported_are_refused_at_once():
    with pytest.raises(InputError, match="opset"):
        Params.parse(PARAMS | {"opset": 17}, file="params.yaml")
