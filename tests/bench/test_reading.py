"""How a file is read on a data set: the same on every kind of device, and no accuracy that nobody can know."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_onnx import CLASSES, NAMED, SIDE, STATED, classifier, save_classifier, save_images

from fishbone.bench.agent import BEGIN, END
from fishbone.bench.devices import web
from fishbone.bench.devices.local import run_local
from fishbone.bench.devices.outcome import understand
from fishbone.bench.procedure import Procedure
from fishbone.bench.reading import read
from fishbone.bench.results import Score
from fishbone.bench.summary import summarise
from fishbone.bench.task import write_task
from fishbone.data.dataset import load_dataset
from fishbone.export.facts import file_facts

QUICK = Procedure(
    threads=1, seconds=0.05, sittings=1, block_ms=1.0, warmup_seconds=0.0, cold_runs=0, images=20, budget_seconds=60.0
)
N = 6
SCORES = np.eye(CLASSES, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
LABELS = np.array([0, 1, 2, 0, 1, 2])
FEATURES = np.ones((N, 32), np.float32)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load_dataset(save_images(tmp_path_factory.mktemp("data") / "d.npz"))


def reading(dataset, metadata=STATED, raw=False, **outputs):
    return read(metadata, outputs, N, raw, dataset)


@pytest.mark.parametrize(
    ("outputs", "output", "answer"),
    [
        ({"y": SCORES}, "y", "scores"),
        ({"y": SCORES.reshape(N, CLASSES, 1, 1)}, "y", "scores"),
        ({"f": FEATURES, "y": SCORES}, "y", "scores"),
        ({"k": LABELS, "y": SCORES}, "y", "scores"),
        ({"y": (SCORES * 100).astype(np.int8)}, "y", "scores"),
        ({"k": LABELS}, "k", "label"),
        ({"k": LABELS.reshape(N, 1)}, "k", "label"),
    ],
    ids=["scores", "out4d", "features first", "label first", "int8 scores", "label", "label column"],
)
def test_the_output_that_has_the_classes_answers(dataset, outputs, output, answer):
    found = reading(dataset, **outputs)
    assert (found.output, found.answer, found.status, found.reason) == (output, answer, "ok", None)


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        ({"y": np.ones((N, CLASSES + 1), np.float32)}, r"y \[6, 4\]"),
        ({"f": FEATURES}, r"f \[6, 32\]"),
        ({"y": SCORES, "z": SCORES}, "several outputs"),
        ({"f": FEATURES, "k": LABELS}, "no output holds the scores of 3 classes"),
        ({"k": LABELS + 1}, "no number of one of 3 classes"),
        ({"y": np.ones((N, CLASSES, 2), np.float32)}, "no output"),
    ],
    ids=["background class", "features", "two heads", "features and label", "labels from 1", "two of each class"],
)
def test_other_outputs_have_no_accuracy_and_a_reason(dataset, outputs, why):
    found = reading(dataset, **outputs)
    assert (found.answer, found.status) == (None, "no_accuracy")
    assert found.output in outputs, "parity is compared all the same"
    with pytest.raises(ValueError, match=why):
        raise ValueError(found.reason)


def test_a_file_that_does_not_state_its_input_is_measured_on_an_assumption(dataset):
    found = reading(dataset, metadata={}, y=SCORES)
    assert (found.status, found.answer) == ("assumed", "scores")
    assert "fishbone.mean" in found.reason
    assert (found.mean, found.std) == (dataset.mean.tolist(), dataset.std.tolist())
    raw = reading(dataset, metadata=NAMED, raw=True, y=SCORES)
    assert (raw.status, raw.mean, raw.std) == ("ok", None, None), "uint8 is pixels"


@pytest.mark.parametrize("raw", [True, False])
def test_outputs_of_unnamed_classes_are_taken_for_the_data_sets_on_an_assumption(dataset, raw):
    unnamed = {key: text for key, text in STATED.items() if key != "fishbone.class_names"}
    for outputs in ({"y": SCORES}, {"k": LABELS}):
        found = reading(dataset, metadata={} if raw else unnamed, raw=raw, **outputs)
        assert (found.status, found.answer is None) == ("assumed", False)
        assert found.reason.startswith(f"its outputs are taken for {dataset.name}'s classes in their order")


def test_of_unnamed_classes_no_output_is_the_scores_where_another_could_be(dataset):
    unnamed = {key: text for key, text in STATED.items() if key != "fishbone.class_names"}
    outputs = {"emb": SCORES, "logits": np.ones((N, CLASSES + 1), np.float32)}
    found = reading(dataset, metadata=unnamed, **outputs)
    assert (found.answer, found.status) == (None, "no_accuracy")
    assert "several outputs could be its classes' scores: emb [6, 3], logits [6, 4]" in found.reason
    assert reading(dataset, metadata=unnamed, y=SCORES, k=LABELS).answer == "scores", "a label is no score"
    assert reading(dataset, **outputs).output == "emb", "a file that names three classes has three scores"


def test_a_files_own_statistics_go_before_the_data_sets(dataset):
    found = reading(dataset, y=SCORES)
    assert (found.mean, found.std) == ([0.5], [0.3])


@pytest.mark.parametrize(
    "metadata",
    [
        {"fishbone.mean": "[0.5]"},
        {"fishbone.mean": "[0.5]", "fishbone.std": "[0]"},
        {"fishbone.mean": "[0.5]", "fishbone.std": "[NaN]"},
        {"fishbone.mean": "[0.5, 0.5]", "fishbone.std": "[1, 1]"},
        {"fishbone.mean": "half", "fishbone.std": "[1]"},
        {"fishbone.mean": "[" * 100_000, "fishbone.std": "[1]"},
        STATED | {"fishbone.class_names": '["a", "b", "z"]'},
        STATED | {"fishbone.class_names": "a, b, c"},
    ],
)
def test_metadata_that_cannot_be_meant_give_no_accuracy(dataset, metadata):
    found = reading(dataset, metadata=metadata, y=SCORES)
    assert (found.answer, found.status) == (None, "no_accuracy")
    assert found.reason


def test_a_network_of_another_data_file_may_have_learnt_these_images(dataset):
    def of(digest):
        return reading(dataset, STATED | {"fishbone.data": json.dumps({"name": "d", "sha256": digest})}, y=SCORES)

    assert of(dataset.digest).status == "ok"
    assert of("0" * 64).status == "assumed"


# ---- on devices


def coded_images(path, brighter=0):
    """A data set whose images are all of the value 40 times their label, plus ``brighter`` in the test split."""
    with np.load(save_images(path)) as arrays:
        known = dict(arrays)
    known["images"] = np.broadcast_to(40 * known["labels"][:, None, None, None], known["images"].shape).astype(np.uint8)
    known["images"][known["test"]] += np.uint8(brighter)
    np.savez(path, **known)
    return load_dataset(path)


def coded_classifier(path, metadata, batch="n", outputs=("features", "scores")):
    """Features first, then scores and label by the mean of an image whose pixels are 0 to 255.

    Where the mean is 1, scores are NaN and the label is 3.
    """
    stored = {"levels": np.float32([[0, 40, 80]]), "one": np.float32([[1]]), "flat": np.int64([-1])}
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["features"]),
        helper.make_node("Sub", ["features", "levels"], ["away"]),
        helper.make_node("Abs", ["away"], ["distance"]),
        helper.make_node("Neg", ["distance"], ["near"]),
        helper.make_node("Equal", ["features", "one"], ["bad"]),
        helper.make_node("Cast", ["bad"], ["hole"], to=TensorProto.FLOAT),
        helper.make_node("Neg", ["hole"], ["below"]),
        helper.make_node("Sqrt", ["below"], ["nothing"]),
        helper.make_node("Add", ["near", "nothing"], ["scores"]),
        helper.make_node("ArgMax", ["near"], ["place"], axis=1),
        helper.make_node("Where", ["bad", "three", "place"], ["column"]),
        helper.make_node("Reshape", ["column", "flat"], ["label"]),
    ]
    stored["three"] = np.int64([[3]])
    kinds = {"features": (TensorProto.FLOAT, [batch, 1]), "scores": (TensorProto.FLOAT, [batch, CLASSES])}
    kinds["label"] = TensorProto.INT64, [batch]
    graph = helper.make_graph(
        nodes, "coded", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 1, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, *kind) for name, kind in kinds.items() if name in outputs],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


PIXELS = {"fishbone.mean": "[0.0]", "fishbone.std": f"[{1 / 255!r}]"} | NAMED


def test_a_file_of_0_to_255_is_right_where_it_says_so_and_never_wrong_and_ok(tmp_path):
    dataset = coded_images(tmp_path / "d.npz")
    models = [coded_classifier(tmp_path / f"{name}.onnx", metadata) for name, metadata in
              {"said": PIXELS, "unsaid": {}}.items()]  # fmt: skip
    models.append(save_classifier(tmp_path / "stated.onnx", metadata=STATED))
    task = write_task(models, 0, dataset, QUICK, tmp_path)
    result = summarise("d", "local", run_local(task.file, 60), task, [file_facts(model) for model in models], "0")
    said, unsaid, stated = result.models
    assert (said.status, said.accuracy.fraction) == ("ok", 1)
    assert (unsaid.status, stated.status) == ("assumed", "ok")
    assert unsaid.accuracy.fraction < 0.6


def test_a_background_class_is_timed_without_an_accuracy(tmp_path, dataset):
    model = classifier(metadata=STATED)
    for tensor in model.graph.initializer:
        if tensor.name.startswith("fc."):
            array = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(np.concatenate([array, array[:1]]), tensor.name))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = CLASSES + 1
    onnx.save(model, file := tmp_path / "m.onnx")
    task = write_task([file], 0, dataset, QUICK, tmp_path)
    (found,) = summarise("d", "local", run_local(task.file, 60), task, [file_facts(file)], "0").models
    assert (found.status, found.accuracy) == ("no_accuracy", None)
    assert found.latency is not None
    assert "logits [31, 4]" in found.message


FAKE_RUNTIME = """
export const env = {wasm: {}, versions: {web: 'none'}};
export class Tensor { constructor(type, data, dims) { Object.assign(this, {type, data, dims}); } }
export const InferenceSession = {create: async () => ({
  inputNames: ['image'], outputNames: ['features', 'scores', 'label'], release: async () => {},
  run: async ({image: {data, dims: [count]}}) => {
    const size = data.length / count, features = new Float32Array(count), scores = new Float32Array(3 * count);
    const label = new BigInt64Array(count);
    for (let n = 0; n < count; n++) {
      features[n] = data.subarray(n * size, (n + 1) * size).reduce((a, b) => a + b, 0) / size;
      const hole = Math.abs(features[n] - 1) < 0.01;
      for (let c = 0; c < 3; c++) scores[3 * n + c] = hole ? NaN : -Math.abs(features[n] - 40 * c);
      label[n] = hole ? 3n : BigInt(Math.round(features[n] / 40));
    }
    return {features: {data: features}, scores: {data: scores}, label: {data: label}};
  },
})};
"""


def in_a_browser(task, folder):
    """What page.js measures in node, on a runtime that computes what `coded_classifier` does."""
    if shutil.which("node") is None:
        pytest.skip("no node")
    (folder / "page").mkdir()
    names = {served: name for served, (name, _) in web.RUNTIME.items()}
    (folder / names["ort.mjs"]).write_text(FAKE_RUNTIME)
    (folder / names["ort.wasm"]).write_text("")
    for name, file in web.served_files(task.file, folder / "page", folder).items():
        if file.parent != folder / "page":
            shutil.copyfile(file, folder / "page" / name)
    (folder / "page" / "package.json").write_text('{"type": "module"}')
    shell = Path(__file__).with_name("page_in_node.mjs")
    done = subprocess.run(["node", shell, folder / "page"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return understand(f"{BEGIN}\n{done.stdout}\n{END}")


@pytest.mark.parametrize("device", ["local", "browser"])
@pytest.mark.parametrize("output", ["scores", "label"])
def test_rows_that_are_not_finite_and_labels_that_are_no_class_are_wrong_and_never_ok(tmp_path, device, output):
    """Only test images of class 0 have them: the host's 32 inputs do not."""
    dataset = coded_images(tmp_path / "d.npz", brighter=1)
    model = coded_classifier(tmp_path / "m.onnx", PIXELS, outputs=(output,))
    task = write_task([model], 0, dataset, QUICK, tmp_path)
    done = run_local(task.file, 60) if device == "local" else in_a_browser(task, tmp_path)
    (found,) = summarise("d", "local", done, task, [file_facts(model)], "0").models
    chosen = np.load(task.file.parent / "images.npz")["labels"]
    missing = int((chosen == 0).sum())
    assert missing
    assert (found.accuracy.correct, found.accuracy.unanswered) == (len(chosen) - missing, missing)
    assert (found.status, found.latency is None) == ("no_answer", False)
    assert f"for {missing} of {len(chosen)} images" in found.message


def test_browsers_refuse_references_that_are_not_finite_as_well(tmp_path):
    dataset = coded_images(tmp_path / "d.npz")
    task = write_task([coded_classifier(tmp_path / "m.onnx", PIXELS)], 0, dataset, QUICK, tmp_path)
    vectors = dict(np.load(tmp_path / "vectors.npz"))
    vectors["0.outputs"][3] = np.nan
    np.savez(tmp_path / "vectors.npz", **vectors)
    for done in (in_a_browser(task, tmp_path), run_local(task.file, 60)):
        (found,) = done.measurement.models
        assert (found.status, found.parity) == ("unsupported", None)
        assert "not finite" in found.message


@pytest.mark.parametrize("batch", ["n", 7])
def test_browsers_prepare_images_as_the_file_says_and_read_the_output_that_answers(tmp_path, batch):
    dataset = coded_images(tmp_path / "d.npz")
    models = [coded_classifier(tmp_path / f"{name}.onnx", metadata, batch) for name, metadata in
              {"said": PIXELS, "unsaid": {}}.items()]  # fmt: skip
    task = write_task(models, 0, dataset, QUICK, tmp_path)
    said, unsaid = in_a_browser(task, tmp_path).measurement.models
    assert (said.status, said.accuracy) == ("ok", Score(correct=QUICK.images, images=QUICK.images))
    assert said.parity.max_abs < 1e-3
    assert unsaid.accuracy.correct < 0.6 * QUICK.images
    assert said.blocks_ns
