import os
import platform
import shutil
import subprocess

import pytest

from fishbone.bench.agent import COMPILE, build_sparse, environment
from fishbone.sparse.plan import RUNTIME

# Name → (processor, what the compiler is told, the processor's flag that it needs).
WIDTHS = {
    "sse": ("x86_64", ["-march=x86-64"], "sse2"),
    "avx2": ("x86_64", ["-mavx2", "-mfma"], "avx2"),
    "avx512": ("x86_64", ["-mavx2", "-mfma", "-mavx512f"], "avx512f"),
    "neon": ("aarch64", [], "asimd"),
}


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """The sparse runtime as a device builds it."""
    found = tmp_path_factory.mktemp("sparse") / "runtime.so"
    build_sparse(RUNTIME, found)
    return found


@pytest.fixture(scope="session", params=WIDTHS)
def width(request, tmp_path_factory):
    """The sparse runtime in each vector width that this processor has."""
    machine, options, flag = WIDTHS[request.param]
    if {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine()) != machine:
        pytest.skip(f"{request.param} is of {machine}, this is {platform.machine()}")
    if flag not in ("sse2", "asimd") and flag not in environment()["cpu_flags"]:
        pytest.skip(f"this processor has no {flag}")
    found = tmp_path_factory.mktemp("sparse") / f"{request.param}.so"
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    subprocess.run([compiler, *COMPILE, *options, RUNTIME, "-o", found], check=True)
    return found
