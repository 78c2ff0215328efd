import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization
from small_onnx import CHANNELS, CLASSES, SIDE, classifier, save_classifier

from fishbone.errors import InputError
from fishbone.export.facts import facts, file_facts, read_onnx
from fishbone.export.stored import tensors
from fishbone.files import write_json


def of(model):
    return facts(model, model.SerializeToString())


KERNEL, DENSE = CHANNELS * 9, CHANNELS * CLASSES
MACS = KERNEL * SIDE**2 + DENSE


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


def test_facts_are_measured_whatever_a_json_beside_the_file_says(tmp_path):
    path = save_classifier(tmp_path / "m.onnx")
    measured = file_facts(path)
    forged = measured.model_copy(update={"macs": 7, "zstd_bytes": 7})
    write_json(path.with_suffix(".json"), {"facts": forged.model_dump()})
    assert file_facts(path) == measured


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
    path = tmp_path / "m.onnx"
    onnx.save_model(classifier(), path, save_as_external_data=True, location="m.data", size_threshold=0)
    with pytest.raises(InputError, match="second file"):
        read_onnx(path)


def without_zero_point(model, form):
    """Conv and Gemm of ``model`` with kernels in int8 behind DequantizeLinear without a zero point."""
    for name in ("conv.weight", "fc.weight"):
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
        levels = np.round(numpy_helper.to_array(tensor) * 30).astype(np.int8)
        axis = {"tensor": {}, "first": {"axis": 0}, "last": {"axis": -1}}[form]
        scale = np.ones([] if form == "tensor" else levels.shape[axis["axis"]], np.float32)
        model.graph.initializer.remove(tensor)
        model.graph.initializer.extend([numpy_helper.from_array(levels, "q" + name)])
        model.graph.initializer.extend([numpy_helper.from_array(scale, "s" + name)])
        model.graph.node.insert(
            0, helper.make_node("DequantizeLinear", ["q" + name, "s" + name, *zero_of(form)], [name], **axis)
        )


def zero_of(form):
    return [""] if form == "last" else []


@pytest.mark.parametrize("form", ["tensor", "first", "last"])
def test_kernels_in_int8_need_no_zero_point_and_take_any_axis(form):
    model = classifier()
    without_zero_point(model, form)
    prune(model, "qconv.weight", 10)
    found = of(model)
    assert (found.weights, found.macs, found.unknown) == (KERNEL + DENSE, MACS, None)
    assert found.nonzero == of_levels(model)
    assert found.sparse_macs < found.macs


def of_levels(model):
    arrays = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name.startswith("q")]
    return sum(int(np.count_nonzero(array)) for array in arrays)


class Batches:
    def __init__(self):
        self.left = iter(np.random.default_rng(0).standard_normal((4, 8, 1, SIDE, SIDE)).astype(np.float32))

    def get_next(self):
        return next(({"image": batch} for batch in self.left), None)


def as_operators_in_8_bits(path, out):
    quantization.quantize_static(str(path), str(out), Batches(), quant_format=quantization.QuantFormat.QOperator)


def dynamically_in_8_bits(path, out):
    quantization.quantize_dynamic(str(path), str(out), weight_type=quantization.QuantType.QUInt8)


def optimised(level):
    def write(path, out):
        options = ort.SessionOptions()
        options.graph_optimization_level, options.optimized_model_filepath = level, str(out)
        options.log_severity_level = 4
        ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    return write


@pytest.mark.parametrize(
    "write",
    [as_operators_in_8_bits, dynamically_in_8_bits, optimised(ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED)],
    ids=["QOperator", "dynamic", "fused"],
)
def test_counts_survive_what_tools_make_of_a_graph(tmp_path, write):
    model = classifier()
    prune(model, "conv.weight", 9 * 2)
    onnx.save(model, tmp_path / "m.onnx")
    write(tmp_path / "m.onnx", tmp_path / "made.onnx")
    proto = onnx.load(tmp_path / "made.onnx")
    assert {"FusedConv", "QLinearConv", "ConvInteger"} & {node.op_type for node in proto.graph.node}
    before, found = of(model), of(proto)
    assert (found.weights, found.macs, found.unknown) == (before.weights, before.macs, None)
    scales = 2 if write is dynamically_in_8_bits else 0  # there they are plain floats, which a Mul reads
    assert found.parameters == before.parameters + scales
    assert found.nonzero <= before.nonzero, "rounding may add zeros"
    assert found.nonzero >= before.nonzero - 4
    assert found.quantised == (write in (as_operators_in_8_bits, dynamically_in_8_bits))


def test_what_stands_in_blocks_of_channels_is_not_counted(tmp_path):
    node = helper.make_node("Conv", ["x", "conv.weight"], ["c"], "conv", domain="com.microsoft.nchwc")
    model = classifier()
    model.graph.node[1].CopyFrom(node)
    found = of(model)
    assert (found.weights, found.nonzero, found.macs, found.sparse_macs) == (None,) * 4
    assert "node conv (com.microsoft.nchwc.Conv)" in found.unknown


@pytest.mark.parametrize("kind", ["If", "Loop", "Einsum", "LSTM", "Unheard", "function"])
def test_nodes_that_may_hold_a_kernel_make_the_counts_unknown_by_name(kind):
    model = classifier()
    inner = helper.make_graph(
        [helper.make_node("Conv", ["c", "inner.weight"], ["inner"])], "branch", [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones((CHANNELS, CHANNELS, 1, 1), np.float32), "inner.weight")],
    )  # fmt: skip
    attributes = {"If": {"then_branch": inner, "else_branch": inner}, "Loop": {"body": inner}}.get(kind, {})
    node = helper.make_node("Mine" if kind == "function" else kind, ["c"], ["r"], "held", **attributes)
    if kind == "function":
        node.domain = "own"
        opsets = [helper.make_opsetid("", 18)]
        body = [helper.make_node("Relu", ["a"], ["b"])]
        model.functions.append(helper.make_function("own", "Mine", ["a"], ["b"], body, opsets))
    model.graph.node[2].CopyFrom(node)
    found = of(model)
    assert (found.weights, found.macs) == (None, None)
    assert "node held" in found.unknown
    inside = CHANNELS * CHANNELS * len(attributes)
    assert found.parameters == KERNEL + DENSE + CLASSES + inside, "what nested graphs store is counted"


def test_macs_are_unknown_where_a_shape_is_computed_in_the_graph():
    model = classifier()
    shape = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Identity", ["s"], ["t"])]
    reshape = helper.make_node("Reshape", ["x", "t"], ["y"])
    model.graph.node[1].input[0] = "y"
    for place, node in enumerate([*shape, reshape]):
        model.graph.node.insert(1 + place, node)
    found = of(model)
    assert (found.weights, found.macs) == (KERNEL + DENSE, None)
    assert "node conv (Conv): the shape of c" in found.unknown


def test_shapes_that_a_file_states_are_not_believed():
    model = classifier()
    model.graph.value_info.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, [1, CHANNELS, 1, 1]))
    assert of(model).macs == MACS


@pytest.mark.parametrize("batch", [1, 5])
def test_macs_are_of_one_input_whatever_batch_the_file_fixes(batch):
    assert of(classifier(batch=batch)).macs == MACS


def product(left, right, shape, stored):
    """A graph of one MatMul; what ``stored`` does not hold is the input, of ``shape``."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", [left, right], ["y"], "product")], "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def test_macs_of_products_from_either_side_and_between_computed_values():
    kernel = np.ones((6, 4), np.float32)
    kernel[0] = 0
    right = of(product("x", "w", ["n", 7, 6], {"w": kernel}))
    assert (right.macs, right.sparse_macs, right.weights) == (7 * 6 * 4, 7 * 5 * 4, 24)
    left = of(product("w", "x", ["n", 4, 5], {"w": kernel}))
    assert (left.macs, left.sparse_macs, left.weights) == (6 * 4 * 5, 5 * 4 * 5, 24)
    square = of(product("x", "x", ["n", 4, 4], {}))
    assert (square.macs, square.sparse_macs, square.weights) == (64, 64, 0)


def test_a_kernel_that_two_nodes_read_each_in_its_own_transposition_counts_once():
    model = classifier()
    turned = helper.make_node("Transpose", ["fc.weight"], ["turned"], perm=[1, 0])
    model.graph.node.insert(0, turned)
    model.graph.node.append(helper.make_node("MatMul", ["f", "turned"], ["again"]))
    found = of(model)
    assert (found.weights, found.macs) == (KERNEL + DENSE, MACS + DENSE)


@pytest.mark.parametrize("kind", ["input", "output", "initializer", "node"])
def test_what_is_missing_in_a_graph_is_no_traceback(kind):
    """What `classifier` holds, with one part taken away after another."""
    parts = {"input": 6, "output": 6, "initializer": 3, "node": 6}
    for place in range(parts[kind]):
        model = classifier()
        if kind in ("input", "output"):
            del getattr(model.graph.node[place], kind)[:1]
        else:
            del getattr(model.graph, kind)[place]
        found = of(model)
        assert found.macs in (None, MACS, KERNEL * SIDE**2, DENSE), (kind, place)
        assert (found.macs is None) == (found.unknown is not None)
