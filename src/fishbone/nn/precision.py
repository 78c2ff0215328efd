"""Which device computes, and in which precision."""

from pathlib import Path

import torch


def pick_device(name: str) -> torch.device:
    """The device of this name: ``cpu``, ``cuda``, or ``auto``: the GPU if there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Whether to autocast to bfloat16; ``auto``: where it is faster than float32.

    That is with matrix tiles (AMX), or with AVX-512 on AMD, whose bf16 products run at twice the rate of float32.
    On Intel without AMX they do not: a ResNet20 step measured 1.3 times slower (``benchmarks/precision.py``).

    Args:
        precision: ``bf16``, ``fp32`` or ``auto``.
        device: that which is to compute.
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    amd = Path("/proc/cpuinfo").exists() and "AuthenticAMD" in Path("/proc/cpuinfo").read_text()
    faster = torch.cpu._is_amx_tile_supported() or (amd and torch.cpu._is_avx512_bf16_supported())
    # What the processor can do is not yet what the libraries use: ATEN_CPU_CAPABILITY and ONEDNN_MAX_CPU_ISA restrict
    # them, and they then emulate bf16 on narrower kernels.
    allowed = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return bool(faster and allowed and torch.ops.mkldnn._is_mkldnn_bf16_supported())
