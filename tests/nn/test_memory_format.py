"""Every layer of every architecture that we ship learns from the right gradients, on the processor at hand."""

import math
import os
import platform
import subprocess
import sys

import pytest
import torch
from layer_gradients import errors
from torch import nn

from fishbone.nn.dcgan import Discriminator
from fishbone.nn.memory_format import arranged, memory_format
from fishbone.nn.models import build

# bf16 has 8 bits; without AVX-512 torch also sums a convolution's products in it.
TOLERANCE = {False: 1e-4, True: 0.03}
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
PRECISIONS = pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])


def resnet(depth: int, width: int, channels: int) -> nn.Module:
    return build({"name": "resnet", "depth": depth, "width": width, "channels": channels, "classes": 10})


def images(count: int, channels: int, side: int) -> dict[str, torch.Tensor]:
    """The same images, as they come from different places."""
    whole = torch.randn(2 * count, channels, side, side, generator=torch.Generator().manual_seed(0))
    innermost = whole.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    return {"contiguous": whole[:count].clone(), "sliced": whole[::2], "channels innermost": innermost[:count]}


def assert_right(model: nn.Module, inputs: torch.Tensor, bf16: bool) -> None:
    model.to(memory_format=memory_format(model))
    found = errors(model, arranged(inputs, model).detach(), bf16)
    wrong = {name: error for name, error in found.items() if not error < TOLERANCE[bf16]}  # NaN is wrong, too
    assert not wrong


@PRECISIONS
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("width", [4, 8, 12, 16])
@pytest.mark.parametrize("depth", [8, 18])
def test_resnets_gradients_are_those_of_float64(depth, width, channels, bf16):
    for inputs in images(4, channels, 8).values():
        assert_right(resnet(depth, width, channels), inputs, bf16)


@PRECISIONS
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("width", [4, 8, 12, 16])
def test_gradients_of_both_sides_of_a_gan_are_those_of_float64(width, channels, bf16):
    shape = [channels, 8, 8]
    for inputs in images(4, channels, 8).values():
        assert_right(Discriminator(shape, width, dropout=0.3, seed=0), inputs, bf16)
    generator = build({"name": "dcgan_generator", "shape": shape, "width": width, "latent": 10})
    assert_right(generator, torch.randn(4, 10), bf16)


@PRECISIONS
@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_of_the_two_branch_network_are_those_of_float64(channels, bf16):
    for inputs in images(4, channels, 8).values():
        model = build({"name": "two_branch", "shape": [channels, 8, 8], "classes": 3, "embedding": 8, "hidden": 12})
        assert_right(model, inputs, bf16)


# In a process of its own: what is wrong here also damages memory, and would end the whole test run.
NARROW = """
import torch
from test_memory_format import assert_right, images, resnet
torch.set_num_threads(1)
for count, side, width in (160, 8, 4), (16, 48, 8):
    for inputs in images(count, 1, side).values():
        assert_right(resnet(8, width, 1), inputs, bf16=False)
"""


def apart(program: str, restriction: dict[str, str]) -> subprocess.CompletedProcess:
    environment = os.environ | restriction | {"PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("restriction", [{}, AVX2], ids=["as it is", "AVX2"])
def test_strided_projections_of_few_channels_are_right_on_narrow_and_wide_kernels(restriction):
    done = apart(NARROW, restriction)
    assert done.returncode == 0, done.stderr


FORCED = """
import fishbone.nn.memory_format as module
import torch
module._safe = lambda layer: True
"""


@pytest.mark.skipif(
    not torch.__version__.startswith("2.13.") or platform.machine() != "x86_64",
    reason="the fault is known of oneDNN in torch 2.13 on x86",
)
def test_without_the_guard_these_tests_see_the_fault():
    done = apart(FORCED + NARROW, AVX2)
    assert done.returncode < 0 or "assert not wrong" in done.stderr, done.stderr


def test_a_gradient_that_is_not_a_number_is_wrong(monkeypatch):
    monkeypatch.setitem(globals(), "errors", lambda *_: {"first": 0.0, "second": math.nan})
    with pytest.raises(AssertionError, match="second"):
        assert_right(nn.Linear(1, 1), torch.zeros(1, 1), bf16=False)


def test_only_networks_without_narrow_strided_projections_have_channels_innermost():
    formats = {
        "wide": memory_format(resnet(20, 16, 3)),
        "narrow": memory_format(resnet(8, 8, 1)),
        "transposed": memory_format(nn.ConvTranspose2d(32, 8, 1, 2)),
        "grouped": memory_format(nn.Conv2d(32, 32, 1, 2, groups=4)),
        "strided in one direction": memory_format(nn.Conv2d(8, 8, 1, (1, 2))),
        "not strided": memory_format(nn.Conv2d(8, 8, 1)),
        "with a neighbourhood": memory_format(nn.Conv2d(8, 8, 3, 2)),
    }
    assert {name for name, chosen in formats.items() if chosen is torch.channels_last} == {
        "wide", "not strided", "with a neighbourhood"
    }  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
def test_images_for_a_plain_network_have_plain_strides(channels):
    for inputs in images(4, channels, 8).values():
        for part in (inputs, inputs[::2]):
            moved = arranged(part, resnet(8, 8, channels))
            assert torch.equal(moved, part)
            assert moved.stride()[1:] == (64, 8, 1)
