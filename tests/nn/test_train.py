import torch

from fishbone.nn.train import uses_bf16

CPU = torch.device("cpu")


def test_auto_is_float32_where_the_libraries_may_not_use_wide_kernels(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert not uses_bf16("auto", CPU)
    assert uses_bf16("bf16", CPU)
    assert not uses_bf16("fp32", CPU)


def test_auto_takes_bf16_only_where_the_convolutions_have_it():
    assert not uses_bf16("auto", CPU) or torch.ops.mkldnn._is_mkldnn_bf16_supported()
