"""bf16 autocast against float32: seconds of one training step of ResNet20 on CIFAR-sized images.

Both take turns in one process, so the ratio is paired; printed are medians in milliseconds and the median ratio with
minimum and maximum over rounds. This is what `precision: auto` relies on.
"""

import argparse
import statistics
import time

import torch
from torch.nn import functional as F

from fishbone.nn.models import build
from fishbone.nn.precision import uses_bf16


def step_seconds(model, optimiser, images, labels, bf16: bool, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(model(images), labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    return (time.perf_counter() - start) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = build({"name": "resnet", "depth": 20, "width": 16, "channels": 3, "classes": 10})
    model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    images = torch.randn(128, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (128,))
    arms = {"fp32": False, "bf16": True}
    for bf16 in arms.values():
        step_seconds(model, optimiser, images, labels, bf16, 2)
    times = {name: [] for name in arms}
    for _ in range(options.rounds):
        for name, bf16 in arms.items():
            times[name].append(step_seconds(model, optimiser, images, labels, bf16, 5))
    ratios = [a / b for a, b in zip(times["fp32"], times["bf16"], strict=True)]
    for name, values in times.items():
        print(f"{name}: median {statistics.median(values) * 1e3:.1f} ms a step of 128 images")
    print(f"fp32 / bf16: {statistics.median(ratios):.2f}  [{min(ratios):.2f}, {max(ratios):.2f}]  n={len(ratios)}")
    print(f"precision auto takes {'bf16' if uses_bf16('auto', torch.device('cpu')) else 'fp32'} on this machine")


if __name__ == "__main__":
    main()
