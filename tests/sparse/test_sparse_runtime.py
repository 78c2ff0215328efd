"""The sparse runtime computes what ONNX Runtime computes, and refuses what it cannot."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from small_onnx import SIDE, save_images
from sparse_graphs import Graph, outputs_agree

from fishbone.bench.agent import SparseSession, build_sparse, environment
from fishbone.bench.devices.local import run_local
from fishbone.bench.procedure import Procedure
from fishbone.bench.summary import summarise
from fishbone.bench.task import write_task
from fishbone.data.dataset import load_dataset
from fishbone.export.schema import FileFacts
from fishbone.sparse.nodes import UnsupportedGraphError
from fishbone.sparse.plan import RUNTIME, compile_plan

pytestmark = pytest.mark.xdist_group("sparse")  # each width is compiled once
QUICK = Procedure(
    threads=1, seconds=0.08, sittings=8, block_ms=1.0, warmup_seconds=0.0, cold_runs=1, images=20, budget_seconds=60.0
)
FACTS = FileFacts(
    sha256="", weights_sha256="", graph_sha256="", bytes=1, zstd_bytes=1, opset=18, parameters=1, weights=1, nonzero=1,
    macs=1000, sparse_macs=100, quantised=False,
)  # fmt: skip


def resnet(shape=(3, 11, 9), width=5, density=0.2) -> tuple[Graph, str]:
    """Stem, two plain blocks, a block with stride and a 1x1 shortcut, mean over pixels, linear layer."""
    g = Graph(shape)
    x = g.node("Relu", g.conv("x", shape[0], width, density=1.0))
    for _ in range(2):
        y = g.conv(g.node("Relu", g.conv(x, width, width, density=density)), width, width, density=density)
        x = g.node("Relu", g.node("Add", y, x))
    y = g.node("Relu", g.conv(x, width, 2 * width, stride=2, density=density))
    y = g.conv(y, 2 * width, 2 * width, density=density)
    x = g.node("Relu", g.node("Add", g.conv(x, width, 2 * width, kernel=1, stride=2, padding=0), y))
    x = g.node("Flatten", g.node("GlobalAveragePool", x))
    matrix = g.random.standard_normal((7, 2 * width))
    return g, g.node("Gemm", x, g.store(matrix), g.store(g.random.standard_normal(7)), transB=1)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_resnet_computes_what_onnx_runtime_computes(tmp_path, width, batch, threads):
    graph, out = resnet()
    outputs_agree(graph.proto(out), width, tmp_path / "net.plan", batch, threads)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sides=st.tuples(st.integers(5, 40), st.integers(5, 40)), channels=st.tuples(st.integers(1, 4), st.integers(1, 9)),
    kernels=st.tuples(st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 3])), stride=st.integers(1, 3),
    padding=st.integers(0, 4), batch=st.integers(1, 4), threads=st.integers(1, 3), density=st.sampled_from([0, 0.1, 1]),
    relu=st.booleans(),
)  # fmt: skip
def test_any_two_convolutions(
    tmp_path, width, sides, channels, kernels, stride, padding, batch, threads, density, relu
):
    graph = Graph((channels[0], *sides))
    padding = min(padding, kernels[0] - 1)
    x = graph.conv("x", *channels, kernel=kernels[0], stride=stride, padding=padding, density=density)
    x = graph.node("Relu", x) if relu else x
    same = graph.conv(x, channels[1], channels[1], kernel=kernels[1], padding=kernels[1] // 2, density=density)
    outputs_agree(graph.proto(graph.node("Add", same, x)), width, tmp_path / "net.plan", batch, threads)


def test_a_tensor_that_two_additions_read_is_kept(tmp_path, width):
    g = Graph((4, 6, 6))
    first = g.conv("x", 4, 4)
    second = g.node("Add", g.conv(first, 4, 4), first)
    third = g.node("Add", g.conv(second, 4, 4), first)
    out = g.node("Relu", g.node("Add", third, second))
    outputs_agree(g.proto(out), width, tmp_path / "net.plan")


def test_zero_weights_are_not_stored_and_tensors_share_memory():
    graph, out = resnet(density=0.0)
    plan = compile_plan(graph.proto(out))
    assert len(plan) < 4 * (3 * 5 * 9 * 2 + 5 * 10 * 2 + 7 * 10 * 2) + 1500  # the dense layers and little else
    tensor_count, operation_count = np.frombuffer(plan[12:20], "<i4")
    assert operation_count == 10  # 8 convolutions with what follows them, mean, linear
    assert tensor_count == 1 + operation_count - 2  # input and one a step; the second block lies where the first lay


def test_relu_after_a_mean_is_applied(tmp_path, width):
    """A mean below zero comes out as zero: ``Conv → GlobalAveragePool → Relu → Gemm``."""
    g = Graph((1, 28, 28))
    mean = g.node("GlobalAveragePool", g.node("Conv", "x", g.store([[[[1.0]]], [[[-1.0]]]])))
    vector = g.node("Flatten", g.node("Relu", mean))
    outputs_agree(g.proto(g.node("Gemm", vector, g.store(np.ones((2, 10))))), width, tmp_path / "net.plan")


def test_a_mean_over_two_axes_of_which_one_is_channels_is_refused():
    g = Graph((4, 1, 4))
    with pytest.raises(UnsupportedGraphError, match=r"ReduceMean n0 .*other dimensions"):
        compile_plan(g.proto(g.node("ReduceMean", "x", g.store([1, 2], np.int64), keepdims=0)))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (3,), (1, 3)])
def test_a_bias_of_any_shape_that_fits_each_image_is_added(tmp_path, library, shape):
    g = Graph((4,))
    out = g.node("Gemm", "x", g.store(g.random.standard_normal((4, 3))), g.store(np.full(shape, 0.7)))
    outputs_agree(g.proto(out), library, tmp_path / "net.plan", batch=2)


def test_an_empty_name_is_no_bias(tmp_path, library):
    g = Graph((2, 4, 4))
    x = g.node("Conv", "x", g.store(g.random.standard_normal((3, 2, 1, 1))), "")
    outputs_agree(g.proto(x), library, tmp_path / "net.plan")


def test_shapes_that_a_file_declares_are_not_believed(tmp_path, library):
    graph, out = resnet()
    proto = graph.proto(out)
    proto.graph.value_info.append(helper.make_tensor_value_info("t0", TensorProto.FLOAT, ["batch", 5, 2, 2]))
    outputs_agree(proto, library, tmp_path / "net.plan")


def test_operators_of_other_domains_are_refused():
    g = Graph((2, 4, 4))
    out = g.node("Conv", "x", g.store(np.ones((2, 4, 1, 1))), domain="com.ms.internal.nhwc")
    with pytest.raises(UnsupportedGraphError, match="Conv n0 is none of"):
        compile_plan(g.proto(out))


def test_a_graph_of_several_inputs_or_outputs_or_other_types_is_refused():
    graph, out = resnet()
    several = graph.proto(out, "t0")
    with pytest.raises(UnsupportedGraphError, match=rf"one output and has {out}, t0"):
        compile_plan(several)
    proto = graph.proto(out)
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    with pytest.raises(UnsupportedGraphError, match="input x is no batch of float32"):
        compile_plan(proto)
    proto = graph.proto(out)
    proto.graph.input.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1]))
    with pytest.raises(UnsupportedGraphError, match="one input and has x, y"):
        compile_plan(proto)


def test_the_width_of_this_processor_is_chosen(library, small_plan, tmp_path):
    flags = environment()["cpu_flags"]
    (tmp_path / "net.plan").write_bytes(small_plan)
    widest = 16 if "avx512f" in flags else 8 if "avx2" in flags else 4
    assert SparseSession(library, tmp_path / "net.plan").lanes == widest


REFUSED = {
    "is none of": lambda g: g.node("MaxPool", "x", kernel_shape=[2, 2]),
    "grouped": lambda g: g.conv("x", 1, 4, group=4),
    "square": lambda g: g.node("Conv", "x", g.store(np.ones((2, 4, 3, 1))), kernel_shape=[3, 1]),
    "unusual": lambda g: g.conv("x", 4, 4, kernel=1, padding=1),
    "not computed": lambda g: g.node("Add", "x", g.store(np.ones((1, 4, 1, 1)))),
    "bias": lambda g: g.node("Conv", "x", g.store(np.ones((2, 4, 1, 1))), g.store(np.ones((1, 2)))),
    "finite": lambda g: g.node("Conv", "x", g.store(np.full((2, 4, 1, 1), np.nan))),
    "64": lambda g: g.conv("x", 4, 1, kernel=70, padding=69),
    "batch": lambda g: g.node("Reshape", g.node("GlobalAveragePool", "x"), g.store([1, 4], np.int64)),
    "mean": lambda g: g.node("ReduceMean", "x", keepdims=1),
}


@pytest.mark.parametrize("why", REFUSED)
def test_other_graphs_are_refused_by_the_node(why):
    graph = Graph((4, 8, 8))
    out = REFUSED[why](graph)
    with pytest.raises(UnsupportedGraphError, match=rf"n[01] .*{why}"):
        compile_plan(graph.proto(out))


@pytest.fixture(scope="module")
def small_plan():
    graph, out = resnet(shape=(1, 6, 6), width=2)
    return compile_plan(graph.proto(out))


def test_a_plan_that_is_cut_short_or_goes_on_is_refused(tmp_path, library, small_plan):
    file = tmp_path / "net.plan"
    for length in [*range(0, len(small_plan), 13), len(small_plan) - 1]:
        file.write_bytes(small_plan[:length])
        with pytest.raises(ValueError, match=r"ends too early|not a file for"):
            SparseSession(library, file)
    file.write_bytes(small_plan + b"\0")
    with pytest.raises(ValueError, match="goes on"):
        SparseSession(library, file)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), value=st.sampled_from([-(2**31), -1, 0, 1, 7, 1000, 2**31 - 1]))
def test_a_damaged_plan_never_reads_outside_its_memory(tmp_path, library, small_plan, data, value):
    """Every word replaced by extremes: it is refused, or runs on what it holds."""
    word = data.draw(st.integers(2, len(small_plan) // 4 - 1))
    file = tmp_path / "net.plan"
    file.write_bytes(small_plan[: 4 * word] + np.int32(value).tobytes() + small_plan[4 * word + 4 :])
    try:
        network = SparseSession(library, file)
    except ValueError as error:
        assert str(error)  # noqa: PT017 (most values are refused, some run)
        return
    network.run(None, {"x": np.ones(network.shape, np.float32)})


def test_no_compiler_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(RuntimeError, match="no C compiler"):
        build_sparse(RUNTIME, tmp_path / "runtime.so")


def test_a_compiler_that_fails_is_quoted(tmp_path):
    (tmp_path / "bad.c").write_text("this is not C")
    with pytest.raises(RuntimeError, match="error"):
        build_sparse(tmp_path / "bad.c", tmp_path / "runtime.so")


def test_other_inputs_are_refused(tmp_path, library, small_plan):
    (tmp_path / "net.plan").write_bytes(small_plan)
    network = SparseSession(library, tmp_path / "net.plan")
    with pytest.raises(ValueError, match=r"takes float32 \(1, 1, 6, 6\)"):
        network.run(None, {"x": np.zeros((1, 1, 6, 6))})


def small_resnet(folder) -> Path:
    graph, out = resnet(shape=(1, SIDE, SIDE))
    return graph.save(folder / "net.onnx", out)


def measure(task):
    done = run_local(task.file, 60)
    assert done.status == "ok", done.message
    return {model.name: model for model in summarise("d", "local", done, task, [FACTS] * 9, None).models}


def test_a_device_measures_a_model_in_both_runtimes(tmp_path):
    dataset = load_dataset(save_images(tmp_path / "d.npz", classes=7))
    found = measure(write_task([small_resnet(tmp_path)], 0, dataset, QUICK, tmp_path, sparse=[0]))
    dense, sparse = found["net"], found["net:sparse"]
    assert (dense.status, sparse.status) == ("assumed", "assumed"), "the file does not say what its input is"
    assert sparse.parity.relative < 1e-5
    assert sparse.accuracy.correct == dense.accuracy.correct
    assert len(sparse.rounds_ns) == len(dense.rounds_ns) == QUICK.sittings
    assert sparse.operators[0].provider.endswith("lanes")
    assert sparse.predicted_ns is None  # there is no other sparse model whose rate could tell


def test_predicted_time_is_macs_at_the_rate_of_the_others(tmp_path):
    first = small_resnet(tmp_path)
    second = tmp_path / "second.onnx"
    second.write_bytes(first.read_bytes())
    found = measure(write_task([first, second], 0, None, QUICK, tmp_path, sparse=[0, 1]))
    same_macs = found["net:sparse"].latency.p50_ns
    assert found["second:sparse"].predicted_ns == pytest.approx(same_macs)  # times MACs over the same MACs: rounding


def test_without_a_compiler_sparse_models_are_skipped_and_the_others_measured(tmp_path, monkeypatch):
    task = write_task([small_resnet(tmp_path)], 0, None, QUICK, tmp_path, sparse=[0])
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    found = measure(task)
    assert found["net"].status == "ok"
    assert found["net:sparse"].status == "skipped"
    assert "no C compiler" in found["net:sparse"].message


def test_a_graph_that_the_sparse_runtime_has_not_is_unsupported_by_node(tmp_path):
    graph = Graph((4, 8, 8))
    file = graph.save(tmp_path / "net.onnx", graph.node("MaxPool", "x", kernel_shape=[2, 2]))
    found = measure(write_task([file], 0, None, QUICK, tmp_path, sparse=[0]))
    assert found["net:sparse"].status == "unsupported"
    assert "MaxPool n0" in found["net:sparse"].message
