"""Export a network and a pruned copy of it to ONNX, and measure both files on this machine."""

import tempfile
from pathlib import Path

import torch
from rich.console import Console
from torch import nn
from torch.nn.utils import prune

from fishbone.bench import Procedure, measure, together
from fishbone.export import save_onnx


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    ).eval()  # fmt: skip


def main() -> None:
    dense, pruned = network(), network()
    for layer in pruned:
        if isinstance(layer, nn.Conv2d):
            prune.l1_unstructured(layer, "weight", amount=0.9)
            prune.remove(layer, "weight")  # the zeros stay, the mask goes
    images = torch.randn(64, 3, 32, 32).numpy()
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, "dense.onnx"), Path(folder, "pruned.onnx")]
        for model, file in zip((dense, pruned), files, strict=True):
            exported = save_onnx(model, file, images)
            print(f"{file.name}: {exported.facts.bytes} bytes, {exported.facts.zstd_bytes} compressed")
        quick = Procedure(seconds=0.2, sittings=2, warmup_seconds=0.1, cold_runs=1, budget_seconds=60)
        results = measure(files, procedure=quick)
    Console(width=160).print(together(results))


if __name__ == "__main__":
    main()
