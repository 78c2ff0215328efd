from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from scipy.stats import binom
from small_onnx import SIDE, classifier

from fishbone.export import gates, quantise
from fishbone.export.facts import facts
from fishbone.export.int8 import KINDS
from fishbone.export.quantise import int8_cost
from fishbone.export.stored import kernels
from fishbone.stages.export.command import command
from fishbone.stages.export.variants import named

IMAGES = np.random.default_rng(0).standard_normal((64, 1, SIDE, SIDE)).astype(np.float32)


@pytest.fixture(scope="module")
def pair():
    """A classifier with zeros in its kernel, before and after."""
    proto = classifier()
    for tensor in proto.graph.initializer:
        if len(tensor.dims) == 4:
            array = numpy_helper.to_array(tensor).copy()
            array[np.random.default_rng(1).random(array.shape) < 0.5] = 0
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return proto, quantise.quantise(proto, IMAGES, "u8s8")


def test_kernels_are_int8_with_a_step_a_channel(pair):
    before, after = pair
    integers = {t.name: t for t in after.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) >= 2}
    assert len(integers) == sum(node.op_type in ("Conv", "Gemm") for node in before.graph.node)
    floats, behind = kernels(before), kernels(after)
    for name, array in floats.items():
        if array.ndim == 4:
            (found,) = (value for key, value in behind.items() if key.startswith(f"{name}_DequantizeLinear"))
            step = np.abs(array).max(axis=(1, 2, 3), keepdims=True) / 127
            assert np.all(np.abs(found - array) <= step / 2 * 1.01)


def test_zeros_stay_zeros_and_the_gate_sees_if_not(pair):
    before, after = pair
    gates.check_quantised(after, before)
    for tensor in after.graph.initializer:
        if tensor.name.endswith("_quantized") and len(tensor.dims) == 4:
            array = numpy_helper.to_array(tensor).copy()
            array[array == 0] = 1
            damaged = onnx.ModelProto()
            damaged.CopyFrom(after)
            next(t for t in damaged.graph.initializer if t.name == tensor.name).CopyFrom(
                numpy_helper.from_array(array, tensor.name)
            )
            with pytest.raises(gates.GateError, match="not zero any more"):
                gates.check_quantised(damaged, before)
            break
    with pytest.raises(gates.GateError, match="left in float"):
        gates.check_quantised(before, before)


def test_only_the_standard_operator_set_is_declared(pair):
    assert [entry.domain for entry in pair[1].opset_import] == [""]
    assert facts(pair[1], b"x").quantised


def test_mcnemar_is_the_exact_two_sided_binomial_test(monkeypatch):
    labels = np.zeros(40, int)
    right, wrong = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    before = np.array([right] * 30 + [wrong] * 10)
    after = before.copy()
    after[:9], after[30:32] = wrong, right  # nine lost, two won
    monkeypatch.setattr(quantise, "_logits", lambda proto, *_: {"a": before, "b": after}[proto])
    cost = int8_cost("a", "b", np.zeros(40), labels, 1)
    assert (cost.lost, cost.won, cost.accuracy_before, cost.accuracy) == (9, 2, 0.75, 23 / 40)
    assert cost.p == pytest.approx(2 * binom.cdf(2, 11, 0.5))
    assert cost.sqnr_db == pytest.approx(10 * np.log10(40 / 22))
    same = int8_cost("a", "a", np.zeros(40), labels, 1)
    assert (same.p, same.sqnr_db) == (1.0, None)


@pytest.mark.parametrize(("bad", "form"), [("a", "in float"), ("b", "in int8")])
def test_logits_that_are_not_finite_have_no_cost_but_an_error(monkeypatch, bad, form):
    """As class 0 they were right answers."""
    logits = {name: np.eye(2)[[0] * 10] for name in "ab"}
    logits[bad][3:5, 1] = np.nan
    monkeypatch.setattr(quantise, "_logits", lambda proto, *_: logits[proto])
    with pytest.raises(gates.GateError, match=f"{form}, its logits are not finite on 2 of 10 test images"):
        int8_cost("a", "b", np.zeros(10), np.zeros(10, int), 1)


def test_export_offers_every_kind():
    option = next(option for option in command.params if option.name == "int8")
    assert tuple(option.type.choices) == KINDS
    for kind in KINDS:
        assert named(f"dense-{kind}", Path("m"), {}, Path()).int8 == kind


def test_unknown_activations_are_refused():
    with pytest.raises(ValueError, match="u8s8, s8s8, u8s7"):
        quantise.quantise(classifier(), IMAGES, "int4")
