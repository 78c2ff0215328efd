import numpy as np
import pytest
from onnx import helper, numpy_helper
from small_onnx import CHANNELS, CLASSES, SIDE, classifier, save_classifier

from fishbone.edge.facts import facts, known_facts, read_onnx, tensors
from fishbone.errors import InputError
from fishbone.files import write_json


def of(model):
    return facts(model, model.SerializeToString())


def prune(model, name, count):
    for tensor in model.graph.initializer:
        if tensor.name == name:
            array = numpy_helper.to_array(tensor).copy()
            array.reshape(-1)[:count] = 0
            tensor.CopyFrom(numpy_helper.from_array(array, name))


def test_macs_and_non_zeros_of_a_known_network():
    model = classifier()
    prune(model, "conv.weight", 10)
    found = of(model)
    kernel, dense = CHANNELS * 9, CHANNELS * CLASSES
    assert (found.parameters, found.weights) == (kernel + dense + CLASSES, kernel + dense)
    assert found.nonzero == kernel + dense - 10
    assert found.macs == kernel * SIDE**2 + dense
    assert found.sparse_macs == (kernel - 10) * SIDE**2 + dense


def test_macs_are_unknown_where_the_kernel_is_computed_at_run_time():
    model = classifier()
    model.graph.node[1].input[1] = "late"
    model.graph.node.insert(0, helper.make_node("Neg", ["conv.weight"], ["late"]))
    assert of(model).macs is None


def test_weights_hash_follows_weights_and_graph_hash_follows_the_graph():
    base, renamed, pruned, other = classifier(), classifier(), classifier(), classifier(operator="Sigmoid")
    renamed.graph.node[2].output[0] = renamed.graph.node[3].input[0] = "renamed"
    prune(pruned, "fc.weight", 1)
    a, b, c, d = map(of, (base, renamed, pruned, other))
    assert (a.weights_sha256, a.graph_sha256) == (b.weights_sha256, b.graph_sha256)
    assert a.sha256 != b.sha256
    assert a.weights_sha256 != c.weights_sha256
    assert a.graph_sha256 == c.graph_sha256
    assert a.graph_sha256 != d.graph_sha256


def test_constants_count_as_stored_tensors():
    model = classifier()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "conv.weight")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["conv.weight"], value=weight))
    model.graph.initializer.remove(weight)
    assert of(model).macs == of(classifier()).macs
    assert np.array_equal(tensors(model)["conv.weight"], tensors(classifier())["conv.weight"])


def test_facts_beside_a_file_are_taken_only_if_of_this_file(tmp_path):
    path = save_classifier(tmp_path / "m.onnx")
    measured = known_facts(path)
    marked = measured.model_copy(update={"zstd_bytes": 7})
    write_json(path.with_suffix(".json"), {"facts": marked.model_dump()})
    assert known_facts(path) == marked
    save_classifier(path, seed=1)
    assert known_facts(path).zstd_bytes != 7


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(InputError, match="missing"):
        read_onnx(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(InputError, match="not an ONNX model"):
        read_onnx(tmp_path / "text.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    with pytest.raises(InputError, match="not an ONNX model"):
        read_onnx(tmp_path / "empty.onnx")


def test_weights_in_a_second_file_are_refused(tmp_path):
    import onnx

    path = tmp_path / "m.onnx"
    onnx.save_model(classifier(), path, save_as_external_data=True, location="m.data", size_threshold=0)
    with pytest.raises(InputError, match="second file"):
        read_onnx(path)
