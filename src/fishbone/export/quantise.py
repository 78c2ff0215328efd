"""An exported network in int8: QDQ nodes around every convolution and linear layer, and what that costs in accuracy.

Weights are symmetric int8 per output channel, so zeros stay zeros. Activations are uint8 (``u8s8``: the fast path of
x86) or int8 (``s8s8``: that of ARM; ONNX Runtime leaves much of such a network in float on x86). ``u8s7`` is u8s8 with
weights of 7 bits, for x86 without VNNI, where u8s8 saturates (see fishbone.export.processor). Which one a device runs
well is for the device to tell, so all can be exported.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto

from fishbone.errors import ArgumentError
from fishbone.export.from_torch import INPUT
from fishbone.export.gates import GateError
from fishbone.export.int8 import KINDS

CALIBRATION_BATCH = 32


@dataclass(frozen=True)
class Int8Cost:
    """The same images before and after; ``p``: McNemar's exact test that as many images are lost as won.

    ``sqnr_db``: signal-to-quantisation-noise ratio of the logits, in decibel; None: the same.
    """

    images: int
    accuracy_before: float
    accuracy: float
    lost: int
    won: int
    p: float
    sqnr_db: float | None


def quantise(proto: ModelProto, images: np.ndarray, activations: str) -> ModelProto:
    """A copy of ``proto`` in int8; ranges are the smallest and largest values on ``images`` (N, C, H, W).

    Raises:
        ArgumentError: ``activations`` is none of `fishbone.export.int8.KINDS`.
    """
    # Here, as it takes most of a second, which only int8 exports need.
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if activations not in KINDS:
        raise ArgumentError(f"activations {activations!r}: give one of {', '.join(KINDS)}")
    kind = quantization.QuantType.QInt8 if activations == "s8s8" else quantization.QuantType.QUInt8
    with tempfile.TemporaryDirectory() as folder, _quiet():
        given, ready, out = (Path(folder) / f"{name}.onnx" for name in ("given", "ready", "out"))
        onnx.save(proto, given)
        quant_pre_process(str(given), str(ready))
        quantization.quantize_static(
            str(ready), str(out), _Batches(images), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
            activation_type=kind, weight_type=quantization.QuantType.QInt8, reduce_range=activations == "u8s7",
        )  # fmt: skip
        made = onnx.load(out)
    made.producer_name, made.producer_version = proto.producer_name, proto.producer_version
    standard = [entry for entry in made.opset_import if entry.domain == ""]  # the rest is declared and never used
    del made.opset_import[:]
    made.opset_import.extend(standard)
    return made


def int8_cost(before: ModelProto, after: ModelProto, images: np.ndarray, labels: np.ndarray, threads: int) -> Int8Cost:
    """Accuracy of both on ``images`` (N, C, H, W), paired by image (McNemar 1947, exact).

    Raises:
        GateError: logits are not finite, so there is no answer to judge.
    """
    from scipy.stats import binomtest  # a second, which only int8 exports need

    ours, theirs = (_logits(proto, images, threads) for proto in (before, after))
    for name, logits in {"in float": ours, "in int8": theirs}.items():
        if missing := int((~np.isfinite(logits).all(1)).sum()):
            raise GateError(f"{name}, its logits are not finite on {missing} of {len(images)} test images")
    right, still = (logits.argmax(1) == labels for logits in (ours, theirs))
    lost, won = int((right & ~still).sum()), int((~right & still).sum())
    noise = float(((ours - theirs) ** 2).sum())
    return Int8Cost(
        images=len(images),
        accuracy_before=float(right.mean()),
        accuracy=float(still.mean()),
        lost=lost,
        won=won,
        p=float(binomtest(lost, lost + won).pvalue) if lost + won else 1.0,
        sqnr_db=10 * float(np.log10((ours**2).sum() / noise)) if noise else None,
    )


class _Batches:
    """Calibration data, in the form that ONNX Runtime asks for."""

    def __init__(self, images: np.ndarray):
        self._left = iter(np.array_split(images, max(1, len(images) // CALIBRATION_BATCH)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._left, None)
        return None if batch is None else {INPUT: batch}


def _logits(proto: ModelProto, images: np.ndarray, threads: int) -> np.ndarray:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    batches = np.array_split(images, max(1, len(images) // 100))
    return np.concatenate([session.run(None, {INPUT: batch})[0] for batch in batches]).astype(np.float64)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's advice on the root logger to pre-process, which has been done."""
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.getLogger().setLevel(level)
