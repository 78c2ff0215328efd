"""Where a network in int8 is not what it is elsewhere: x86 processors without VNNI.

There ONNX Runtime multiplies with VPMADDUBSW, which adds two products of an 8-bit activation and an 8-bit weight in 16
bits. 255 · 127 · 2 does not fit and saturates, 255 · 64 · 2 does: weights of 7 bits are safe. It does so for u8s8 and
s8s8 alike. VNNI adds in 32 bits, as ARM does. Source: ONNX Runtime's documentation, "Quantize ONNX Models".
"""

import platform
import re
from collections.abc import Collection
from itertools import chain
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper

from fishbone.export.canonical import canonical
from fishbone.export.operators import computes_in_8_bits
from fishbone.export.stored import all_tensors, kernels

X86 = ("x86_64", "amd64", "x86", "i386", "i686")
VNNI = ("avx512_vnni", "avx_vnni")
SAFE_WEIGHT = 64
SATURATES = (
    "this processor has no VNNI, so sums of 8-bit products may saturate and accuracy be lower than on others; "
    "export with --int8 u8s7, whose weights of 7 bits cannot"
)


def lacks_vnni(machine: str, cpu_flags: Collection[str]) -> bool:
    """Whether a processor is an x86 without VNNI; False where its flags are not known.

    Args:
        machine: its architecture, as ``platform.machine()`` has it.
        cpu_flags: what it can do, as Linux names it.

    Examples:
        >>> lacks_vnni("x86_64", {"avx2"}), lacks_vnni("x86_64", {"avx2", "avx_vnni"})
        (True, False)
        >>> lacks_vnni("aarch64", {"asimddp"})
        False
    """
    return machine.lower() in X86 and bool(cpu_flags) and not any(flag in cpu_flags for flag in VNNI)


def cpu_flags() -> set[str]:
    """Of this machine's processor, where Linux tells them."""
    file = Path("/proc/cpuinfo")
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    return set(" ".join(re.findall(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)[:1]).split())


def may_saturate(proto: ModelProto) -> bool:
    """Whether a file computes in 8 bits with weights too large for two products in 16 bits.

    Weights are stored at any depth, or made of stored floats by QuantizeLinear.
    """
    proto = canonical(proto)
    if not computes_in_8_bits(proto):
        return False
    stored = (numpy_helper.to_array(tensor) for _, tensor in all_tensors(proto) if tensor.data_type == TensorProto.INT8)
    return any(
        array.dtype == np.int8 and array.ndim >= 2 and np.abs(array.astype(int)).max(initial=0) > SAFE_WEIGHT
        for array in chain(stored, kernels(proto).values())
    )


def int8_note(proto: ModelProto) -> str | None:
    """What a person should know of this file's numbers on this machine's processor."""
    return SATURATES if lacks_vnni(platform.machine(), cpu_flags()) and may_saturate(proto) else None
