"""Facts of files that store or spell in other ways than PyTorch's exporter: the same, or null with the reason."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_onnx import CHANNELS, CLASSES, classifier

from fishbone.errors import InputError
from fishbone.export.canonical import canonical
from fishbone.export.facts import facts, read_onnx

KERNEL, DENSE = CHANNELS * 9, CHANNELS * CLASSES
COUNTED = ("parameters", "weights", "nonzero", "macs", "sparse_macs", "weights_sha256", "opset", "unknown")


def of(model):
    return facts(model, model.SerializeToString())


def counted(model):
    found = of(model)
    return {name: getattr(found, name) for name in COUNTED}


def take(model, name):
    """The initializer, which the graph holds no longer."""
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    model.graph.initializer.remove(tensor)
    return tensor


def sparse(tensor, linear=True):
    array = numpy_helper.to_array(tensor)
    places = np.flatnonzero(array) if linear else np.argwhere(array)
    values = numpy_helper.from_array(array[array != 0], tensor.name)
    return helper.make_sparse_tensor(values, numpy_helper.from_array(places.astype(np.int64)), array.shape)


def with_zeros():
    model = classifier()
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor).copy()
        array.reshape(-1)[::2] = 0
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return model


def sparse_initializer(model, linear=True):
    model.graph.sparse_initializer.append(sparse(take(model, "conv.weight"), linear))


def sparse_constant(model):
    value = sparse(take(model, "fc.weight"))
    model.graph.node.insert(0, helper.make_node("Constant", [], ["fc.weight"], sparse_value=value))


def spelled_out_constant(model):
    value = numpy_helper.to_array(take(model, "fc.bias")).tolist()
    model.graph.node.insert(0, helper.make_node("Constant", [], ["fc.bias"], value_floats=value))


def long_domain(model):
    for entry in (*model.opset_import, *model.graph.node):
        entry.domain = "ai.onnx"


@pytest.mark.parametrize(
    "change",
    [sparse_initializer, lambda model: sparse_initializer(model, False), sparse_constant, spelled_out_constant,
     long_domain],
    ids=["sparse", "sparse, by place", "sparse constant", "constant of numbers", "ai.onnx"],
)  # fmt: skip
def test_facts_are_those_of_the_plain_file(change):
    model, before = with_zeros(), counted(with_zeros())
    change(model)
    assert counted(model) == before
    assert before["unknown"] is None


def test_weights_that_change_in_a_sparse_tensor_or_a_constant_change_the_weights_hash():
    for change, name in ((sparse_initializer, "conv.weight"), (spelled_out_constant, "fc.bias")):
        models = [with_zeros(), with_zeros()]
        tensor = next(tensor for tensor in models[1].graph.initializer if tensor.name == name)
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 2, name))
        for model in models:
            change(model)
        assert of(models[0]).weights_sha256 != of(models[1]).weights_sha256


def test_a_file_in_its_canonical_form_is_left_as_it_is():
    model = classifier()
    assert canonical(model) is model


@pytest.mark.parametrize("damage", ["place", "size", "second file"])
def test_damaged_sparse_tensors_are_named(tmp_path, damage):
    model = with_zeros()
    sparse_initializer(model)
    (tensor,) = model.graph.sparse_initializer
    if damage == "place":
        tensor.indices.CopyFrom(numpy_helper.from_array(np.full(tensor.indices.dims[0], 10**6)))
    elif damage == "size":
        tensor.dims[0] = 2**40
    else:
        tensor.values.data_location = TensorProto.EXTERNAL
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"m\.onnx: cannot be read: sparse tensor conv\.weight"):
        read_onnx(tmp_path / "m.onnx")


def dense(node, stored, inner=CHANNELS, functions=()):
    """A graph of one node from (n, inner) to (n, CLASSES)."""
    graph = helper.make_graph(
        [node], "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", inner])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=functions)


def test_parameters_packed_for_an_operator_are_unknown_by_its_name():
    names = ["x", "packed", "scales"]
    node = helper.make_node("MatMulNBits", names, ["y"], "p", domain="com.microsoft", K=32, N=CLASSES, bits=4)
    found = of(dense(node, {"packed": np.ones((CLASSES, 1, 16), np.uint8), "scales": np.ones(CLASSES, np.float32)}))
    assert found.parameters is None
    assert "node p (com.microsoft.MatMulNBits): what its stored packed stands for" in found.unknown


def test_parameters_among_an_unknown_operators_attributes_are_unknown():
    node = helper.make_node("LinearClassifier", ["x"], ["y"], "c", domain="ai.onnx.ml", coefficients=[1.0] * 12)
    assert of(dense(node, {})).parameters is None
    kernel = numpy_helper.from_array(np.ones((CHANNELS, CLASSES), np.float32))
    assert of(dense(helper.make_node("Own", ["x"], ["y"], "c", domain="own", kernel=kernel), {})).parameters is None


def test_operators_in_8_bits_count_alike_however_their_domain_is_spelled():
    stored = {"w": np.ones((CHANNELS, CLASSES), np.int8), "zero": np.int8(0)}
    for domain in ("", "ai.onnx"):
        found = of(dense(helper.make_node("MatMulInteger", ["x", "w", "", "zero"], ["y"], domain=domain), stored))
        assert (found.parameters, found.weights) == (DENSE, DENSE)


@pytest.mark.parametrize("operator", ["DynamicQuantizeMatMul", "MatMulIntegerToFloat"])
def test_the_bias_of_a_fused_product_in_8_bits_is_a_parameter(operator):
    """Its scales and zero points are not."""
    places = {
        "DynamicQuantizeMatMul": ["x", "w", "scale", "zero", "bias"],
        "MatMulIntegerToFloat": ["x", "w", "scale", "scale", "", "zero", "bias"],
    }
    stored = {"w": np.ones((CHANNELS, CLASSES), np.int8), "bias": np.ones(CLASSES, np.float32)}
    stored |= {"scale": np.float32(1), "zero": np.int8(0)}
    model = dense(helper.make_node(operator, places[operator], ["y"], domain="com.microsoft"), stored)
    assert of(model).parameters == DENSE + CLASSES
    assert of(model).quantised


@pytest.mark.parametrize(("between", "known"), [("Cast", True), ("Mul", False)])
def test_kernels_that_are_made_of_stored_integers_are_counted_or_unknown(between, known):
    model = classifier()
    array = numpy_helper.to_array(take(model, "fc.weight"))
    model.graph.initializer.append(numpy_helper.from_array(np.round(array * 30).astype(np.int8), "levels"))
    made = "fc.weight" if between == "Cast" else "cast"
    model.graph.node.insert(0, helper.make_node("Cast", ["levels"], [made], to=TensorProto.FLOAT))
    if between == "Mul":
        model.graph.initializer.append(numpy_helper.from_array(np.float32(1 / 30), "scale"))
        model.graph.node.insert(1, helper.make_node("Mul", ["cast", "scale"], ["fc.weight"]))
    found = of(model)
    assert found.parameters == (KERNEL + DENSE + CLASSES if known else None)
    assert (found.unknown is None) == known


def test_kernels_in_int8_of_nested_graphs_are_parameters():
    inner = helper.make_graph(
        [helper.make_node("DequantizeLinear", ["levels", "scale"], ["made"]),
         helper.make_node("Conv", ["c", "made"], ["inner"])],
        "branch", [], [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones((CHANNELS, CHANNELS, 1, 1), np.int8), "levels"),
         numpy_helper.from_array(np.float32(1), "scale")],
    )  # fmt: skip
    model = classifier()
    model.graph.node[2].CopyFrom(helper.make_node("If", ["c"], ["r"], then_branch=inner, else_branch=inner))
    assert of(model).parameters == KERNEL + DENSE + CLASSES + 2 * CHANNELS**2


# ---- how many inputs a run takes


def product(shape, outputs, target=None, first="x"):
    """(8, 784) · (784, 10), then to ``target``; ``outputs``: names in the graph's order."""
    nodes = [helper.make_node("MatMul", [first, "w"], ["y"], "product"), helper.make_node("ReduceMean", ["y"], ["mean"],
             keepdims=0)]  # fmt: skip
    stored = {"w": np.ones((784, 10), np.float32)}
    if target:
        stored["target"] = np.int64(target)
        nodes.append(helper.make_node("Reshape", ["y" if first == "x" else "x", "target"], ["z"]))
    if first == "z":
        nodes.insert(0, nodes.pop())
    graph = helper.make_graph(
        nodes, "product", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


@pytest.mark.parametrize(
    ("model", "macs"),
    [
        (product([8, 784], ["y"]), 7840),
        (product([8, 784], ["mean", "y"]), 7840),
        (product([8, 784], ["z"], [80]), None),
        (product([8, 784], ["mean"]), None),
        (product(["n", 784], ["z"], [10]), 7840),
        (product(["n", 784], ["y"], [8, 784], first="z"), None),
    ],
    ids=["batch", "a mean first", "flat", "a mean alone", "free and flat", "free, but eight within"],
)
def test_macs_are_of_one_input_or_unknown(model, macs):
    found = of(model)
    assert (found.macs, found.weights) == (macs, 7840)
    assert (found.unknown is None) == (macs is not None)


def test_of_several_inputs_the_one_whose_side_an_output_has_tells_the_batch():
    model = product([8, 784], ["y"])
    model.graph.input.insert(0, helper.make_tensor_value_info("level", TensorProto.FLOAT, [1]))
    assert of(model).macs == 7840
