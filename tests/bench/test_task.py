import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_onnx import SIDE, classifier, save_classifier, save_images

from fishbone.bench.procedure import Procedure
from fishbone.bench.task import VECTORS, subset, unique_names, write_task
from fishbone.data.dataset import load_dataset
from fishbone.errors import InputError


def task_for(folder, model, dataset=None):
    return write_task([model], 0, dataset, Procedure(), folder)


def test_names_tell_files_apart_without_their_whole_path(tmp_path):
    assert unique_names([tmp_path / "a.onnx", tmp_path / "b.onnx"]) == ["a", "b"]
    assert unique_names([tmp_path / "x" / "m.onnx", tmp_path / "y" / "m.onnx"]) == ["x/m", "y/m"]
    with pytest.raises(InputError, match="twice"):
        unique_names([tmp_path / "a.onnx", tmp_path / "." / "a.onnx"])


@pytest.mark.parametrize(("batch", "size"), [("batch", 1), (1, 1), (5, 5), (50, 50)])
def test_inputs_fill_the_batch_that_the_graph_fixes(tmp_path, batch, size):
    task_for(tmp_path, save_classifier(tmp_path / "m.onnx", batch=batch))
    with np.load(tmp_path / "vectors.npz") as vectors:
        inputs, outputs, feed = (vectors[f"0.{name}"] for name in ("inputs", "outputs", "feed"))
    assert feed.shape == (size, 1, SIDE, SIDE)
    assert len(inputs) == len(outputs) == max(size, VECTORS // size * size)


def test_a_graph_on_bytes_gets_bytes(tmp_path):
    dataset = load_dataset(save_images(tmp_path / "d.npz"))
    model = save_classifier(tmp_path / "m.onnx", kind=TensorProto.UINT8)
    task_for(tmp_path, model, dataset)
    with np.load(tmp_path / "vectors.npz") as vectors:
        assert vectors["0.feed"].dtype == np.uint8
        assert np.array_equal(
            vectors["0.feed"][0, 0], dataset.images[subset(dataset, "validation", VECTORS - 1, 0)[0], :, :, 0]
        )


def test_images_of_another_shape_are_refused(tmp_path):
    dataset = load_dataset(save_images(tmp_path / "d.npz", side=6))
    with pytest.raises(InputError, match=r"another shape.*leave out --data"):
        task_for(tmp_path, save_classifier(tmp_path / "m.onnx"), dataset)


def test_free_sides_take_the_data_sets_or_are_refused(tmp_path):
    model = classifier()
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[2].dim_param = "height"
    onnx.save_model(model, tmp_path / "m.onnx")
    task_for(tmp_path, tmp_path / "m.onnx", load_dataset(save_images(tmp_path / "d.npz")))
    with pytest.raises(InputError, match="free sides"):
        task_for(tmp_path, tmp_path / "m.onnx")


def test_other_inputs_than_images_are_refused(tmp_path):
    model = classifier()
    model.graph.input.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, [1]))
    onnx.save_model(model, tmp_path / "m.onnx")
    with pytest.raises(InputError, match="other inputs"):
        task_for(tmp_path, tmp_path / "m.onnx")


def test_a_model_that_the_host_cannot_run_is_left_to_the_device(tmp_path):
    task = task_for(tmp_path, save_classifier(tmp_path / "m.onnx", operator="Unheard"))
    with np.load(task.file.parent / "vectors.npz") as vectors:
        assert list(vectors) == []


def test_a_subset_of_a_split_sorted_by_class_has_every_class(tmp_path):
    file = save_images(tmp_path / "d.npz")
    with np.load(file) as arrays:
        sorted_by_class = dict(arrays)
    for name in ("validation", "test"):
        members = sorted_by_class[name]
        sorted_by_class[name] = members[np.argsort(sorted_by_class["labels"][members], kind="stable")]
    np.savez(file, **sorted_by_class)
    dataset = load_dataset(file)
    model = save_classifier(tmp_path / "m.onnx")
    write_task([model], 0, dataset, Procedure(images=6), tmp_path)
    with np.load(tmp_path / "images.npz") as sent:
        assert len(sent["labels"]) == 6
        assert set(sent["labels"]) == {0, 1, 2}
        first = sent["images"].copy()
    write_task([model], 0, dataset, Procedure(images=6, seed=1), tmp_path)
    with np.load(tmp_path / "images.npz") as sent:
        assert not np.array_equal(sent["images"], first)
    assert set(dataset.labels[subset(dataset, "validation", 6, 0)]) == {0, 1, 2}
    assert len(subset(dataset, "test", 10_000, 0)) == len(dataset.test)
