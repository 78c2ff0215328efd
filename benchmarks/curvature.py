"""Time and memory of every curvature estimator on ResNet18 (11.2 million weights, images of 32 x 32 pixels).

Each estimator fits the same network on the same images, then removes 80 % of the weights in one step (ranking and a
joint compensation of a few iterations), in a process of its own so that memory is not shared; estimators take turns,
round by round. ``learnt`` is the three-way form with a few Adam steps of learning. Printed are the median seconds of
each part, peak memory above the network's and the images' own, and the ratio of total time to that of the three-way
form, which is `Surgeon`'s default, paired within rounds: median, minimum and maximum. Images are random: time does not
depend on them.
"""

import argparse
import dataclasses
import multiprocessing
import statistics
import time

import torch

from fishbone.curvature.gradients import Gradients
from fishbone.curvature.layout import Layout, prunable
from fishbone.nn.models import build
from fishbone.pruning.compensation import Solver
from fishbone.pruning.cost import Meter
from fishbone.pruning.defaults import LEARNING
from fishbone.pruning.estimators import EstimatorFactory
from fishbone.pruning.methods import METHODS, VARIANTS
from fishbone.pruning.pruner import Pruner, Surgery

REFERENCE = "fls-three-way"
ALL = ("obd", "obs", "mfac", "kfac", "ekfac", "fls-outer", "fls-inner", REFERENCE, "learnt")


def one_round(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Seconds and bytes of one estimator's fit and step."""
    torch.set_num_threads(options.threads)
    model = build({"name": "resnet", "depth": options.depth, "width": options.width, "channels": 3, "classes": 10})
    model.eval()
    layout = Layout.of(model, prunable(model))
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(options.mfac_images if name == "mfac" else options.images, 3, 32, 32, generator=generator)
    gradients = Gradients(layout, inputs, "signs")
    method = (METHODS | VARIANTS)[REFERENCE if name == "learnt" else name]
    learning = dataclasses.replace(LEARNING, first_steps=options.adam_steps if name == "learnt" else 0)
    estimators = EstimatorFactory(method, gradients, block=options.block, learning=learning, seed=0)
    surgery = Surgery("saliency", method.compensation, 1, Solver(options.iterations, 1e-9))
    model(inputs[:8])  # libraries load and allocate before memory is measured
    with Meter() as meter:
        begun = time.perf_counter()
        pruner = Pruner(model, layout, estimators.final(1e-4), surgery)
        pruner.prune(0.0)  # fits, removes nothing
        fitted = time.perf_counter()
        pruner.surgery = dataclasses.replace(surgery, refine_every=10)
        pruner.prune(0.8)
        done = time.perf_counter()
    return {"fit": fitted - begun, "step": done - fitted, "total": done - begun, "bytes": meter.peak_bytes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=18)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--mfac-images", type=int, default=64, help="M-FAC keeps all rows: 45 MB an image")
    parser.add_argument("--block", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=10, help="of the joint compensation")
    parser.add_argument("--adam-steps", type=int, default=5, help="of `learnt`")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--estimators", nargs="+", default=ALL, choices=ALL)
    options = parser.parse_args()
    names = list(dict.fromkeys([REFERENCE, *options.estimators]))
    found: dict[str, list[dict]] = {name: [] for name in names}
    context = multiprocessing.get_context("spawn")
    for _ in range(options.rounds):
        for name in names:
            with context.Pool(1) as pool:
                found[name].append(pool.apply(one_round, (name, options)))
            print(f"{name}: {found[name][-1]['total']:.1f} s, {found[name][-1]['bytes'] / 1e9:.2f} GB", flush=True)
    print(f"\nResNet{options.depth} of width {options.width}, {options.images} images, {options.rounds} rounds")
    print(f"{'':15}{'fit s':>9}{'step s':>9}{'peak GB':>9}   time / {REFERENCE}")
    for name, rounds in found.items():
        fit, step, size = (statistics.median(one[key] for one in rounds) for key in ("fit", "step", "bytes"))
        ratios = [a["total"] / b["total"] for a, b in zip(rounds, found[REFERENCE], strict=True)]
        shown = f"{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
        print(f"{name:15}{fit:9.1f}{step:9.1f}{size / 1e9:9.2f}   {shown}")


if __name__ == "__main__":
    main()
