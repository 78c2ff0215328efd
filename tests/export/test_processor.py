"""Networks in int8 on processors without VNNI, where sums of 8-bit products saturate."""

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper
from sparse_graphs import Graph

from fishbone.bench.agent import environment
from fishbone.export import processor
from fishbone.export.processor import int8_note, lacks_vnni, may_saturate
from fishbone.export.quantise import quantise

IMAGES = np.abs(np.random.default_rng(0).standard_normal((32, 1, 14, 14))).astype(np.float32)


@pytest.fixture(scope="module")
def networks():
    """In float and in both widths of weights; all weights are positive, so that sums grow."""
    g = Graph((1, 14, 14))
    x = "image"
    for inputs in (1, 16):
        kernel = np.abs(g.random.standard_normal((16, inputs, 3, 3))) / (9 * inputs) ** 0.5
        x = g.node("Relu", g.node("Conv", x, g.store(kernel), pads=[1] * 4))
    x = g.node("Flatten", g.node("GlobalAveragePool", x))
    proto = g.proto(g.node("Gemm", x, g.store(g.random.standard_normal((16, 10)))))
    proto.graph.input[0].name = "image"
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info(proto.graph.output[0].name, 1, ["batch", 10]))
    return {"float": proto} | {kind: quantise(proto, IMAGES, kind) for kind in ("u8s8", "u8s7")}


def outputs(proto, optimised=True):
    options = ort.SessionOptions()
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": IMAGES})[0].astype(float)


def decibel(signal, other):
    return 10 * np.log10((signal**2).sum() / max(((signal - other) ** 2).sum(), 1e-30))


def test_networks_of_7_bit_weights_lose_nothing_on_this_processor_and_others_only_without_vnni(networks):
    """Optimised, ONNX Runtime computes in int8; else in float behind the same rounding, where nothing saturates.

    Seen with AVX2 alone: u8s8 28 dB in place of 46, u8s7 42 as everywhere.
    """
    machine = environment()
    right = outputs(networks["float"])
    lost = {
        kind: decibel(right, outputs(networks[kind], optimised=False)) - decibel(right, outputs(networks[kind]))
        for kind in ("u8s8", "u8s7")
    }
    assert lost["u8s7"] < 3
    if not machine["cpu_flags"]:
        pytest.skip("this system does not tell its processor's flags")
    assert (lost["u8s8"] > 10) == lacks_vnni(machine["machine"], machine["cpu_flags"])


def kernel(proto):
    """(16, 144), the second convolution's integers."""
    found = [numpy_helper.to_array(t) for t in proto.graph.initializer if t.data_type == 3 and len(t.dims) == 4]
    return next(array for array in found if array.shape[1] == 16).reshape(16, -1).astype(int)


def test_pairs_of_products_fit_16_bits_with_weights_of_7_bits_only(networks):
    """VPMADDUBSW, by numpy: two products, their sum clipped to 16 bits, then added up."""
    activations = np.random.default_rng(1).integers(180, 256, size=(144, 50))
    for kind, fits in {"u8s8": False, "u8s7": True}.items():
        weight = kernel(networks[kind])
        products = weight[:, :, None] * activations
        pairs = products[:, ::2] + products[:, 1::2]
        saturated = np.clip(pairs, -(2**15), 2**15 - 1).sum(1)
        assert np.array_equal(saturated, weight @ activations) == fits


def test_weights_of_7_bits_cost_at_most_a_bit_of_precision(networks):
    right = outputs(networks["float"])
    full, reduced = (decibel(right, outputs(networks[kind], optimised=False)) for kind in ("u8s8", "u8s7"))
    assert full - 10 < reduced < full


@pytest.mark.parametrize(
    ("machine", "flags", "lacks"),
    [
        ("x86_64", ["avx", "avx2"], True),
        ("AMD64", ["avx2", "avx512f"], True),
        ("x86_64", ["avx2", "avx_vnni"], False),
        ("x86_64", ["avx2", "avx512f", "avx512_vnni"], False),
        ("x86_64", [], False),  # not known
        ("aarch64", ["asimddp"], False),
    ],
)
def test_a_note_is_for_full_int8_on_x86_without_vnni(networks, machine, flags, lacks, monkeypatch):
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    monkeypatch.setattr(processor, "cpu_flags", lambda: set(flags))
    assert lacks_vnni(machine, flags) == lacks
    assert ("u8s7" in (int8_note(networks["u8s8"]) or "")) == lacks
    assert int8_note(networks["u8s7"]) is None
    assert int8_note(networks["float"]) is None


def test_weights_in_int8_alone_are_computed_in_float_and_do_not_saturate():
    g = Graph((4,))
    stored = g.store(np.full((4, 3), 127), np.int8), g.store(np.float32(0.1))
    out = g.node("Gemm", "x", g.node("DequantizeLinear", *stored))
    assert not may_saturate(g.proto(out))


def stored_in(place, array):
    """A product in 8 bits whose int8 weights are an initializer, a Constant node's, or quantised from stored floats."""
    g = Graph((4,))
    zero = g.store(0, np.int8)
    if place == "constant":
        name = g.node("Constant", value=numpy_helper.from_array(array))
    elif place == "floats":
        name = g.node("QuantizeLinear", g.store(array.astype(np.float32)), g.store(np.float32(1)), zero)
    else:
        name = g.store(array, np.int8)
    proto = g.proto(g.node("DynamicQuantizeMatMul", "x", name, g.store(np.float32(0.1)), zero))
    proto.graph.node[-1].domain = "com.microsoft"
    return proto


@pytest.mark.parametrize("place", ["initializer", "constant", "floats"])
@pytest.mark.parametrize(("largest", "may"), [(127, True), (-128, True), (64, False)])
def test_products_in_8_bits_may_saturate_whatever_their_operator_and_wherever_their_weights_are(place, largest, may):
    assert may_saturate(stored_in(place, np.full((4, 3), largest, np.int8))) == may
