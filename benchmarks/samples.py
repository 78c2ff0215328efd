"""How each estimator of the inverse Fisher matrix stands few samples: error and accuracy against number of images.

A small ResNet is trained on scikit-learn's 8 x 8 digits. The reference is Q* = (F + gamma I)^-1 with the exact Fisher
matrix F of all training images, dense. Each estimator sees a few of these images, one random gradient row each, and is
judged twice:

- error: sqrt(tr[(Q - Q*) (F + gamma I) (Q - Q*)] / tr Q*), by Gaussian probes; 0: exact, 1: as bad as Q = 0. From
  the best of several dampings.
- accuracy on the test split after removing weights in one step and recalibrating batch norm. With the damping that is
  best on the validation split.

Printed are means over draws of images with 95 % intervals.
"""

import argparse
import copy
import dataclasses

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from fishbone.curvature.gradients import Gradients
from fishbone.curvature.layout import Layout, prunable
from fishbone.curvature.statistics import rows
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.evaluate import evaluate
from fishbone.nn.models import build
from fishbone.nn.train import Recipe, train
from fishbone.pruning.compensation import Solver
from fishbone.pruning.defaults import LEARNING
from fishbone.pruning.estimators import EstimatorFactory
from fishbone.pruning.images import recalibrated
from fishbone.pruning.methods import METHODS, VARIANTS
from fishbone.pruning.pruner import Pruner, Surgery
from fishbone.report.intervals import interval
from fishbone.seeding import torch_generator

NAMES = ("obd", "obs", "mfac", "kfac", "fls-start", "fls")
RECIPE = Recipe(30, 64, 0.1, 0.3, 0.9, 5e-4, 0, False, 0, 8, "fp32", "cpu")
GAMMAS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
Split = tuple[Tensor, Tensor]


def digits() -> dict[str, Split]:
    """Inputs (N, 1, 8, 8), normalised, and labels (N,)."""
    bunch = load_digits()
    inputs = torch.tensor(bunch.images[:, None] / 16, dtype=torch.float32)
    inputs = (inputs - inputs.mean()) / inputs.std()
    labels = torch.tensor(bunch.target)
    order = torch.randperm(len(labels), generator=torch_generator(0, "splits"))
    parts = dict(zip(("training", "validation", "test"), order.split([1197, 300, 300]), strict=True))
    return {name: (inputs[part], labels[part]) for name, part in parts.items()}


def fisher(model: nn.Module, layout: Layout, inputs: Tensor) -> Tensor:
    """(d, d), exact."""
    total = 0.0
    for part in inputs.split(100):
        found = rows(model, Gradients(layout, part, "exact")).flatten(0, 1)
        total = total + found.mT @ found
    return total / len(inputs)


def fitted(name: str, gamma: float, model: nn.Module, layout: Layout, inputs: Tensor, seed: int) -> Pruner:
    """The method's pruner of a copy of ``model``, its estimator fitted to ``inputs``."""
    method = (METHODS | VARIANTS)[name]
    count = len(inputs)
    learning = dataclasses.replace(
        LEARNING, form="inner", first_steps=100, directions=8, batch=min(25, count // 2), held_out=count // 6
    )
    gradients = Gradients(layout, inputs, "signs", seed=seed)
    estimator = EstimatorFactory(method, gradients, block=64, learning=learning, seed=seed).final(gamma)
    surgery = Surgery(method.ranking, method.compensation, 10, Solver(100, 1e-3))
    pruner = Pruner(copy.deepcopy(model), layout, estimator, surgery)
    pruner.prune(0.0)  # fits, removes nothing
    return pruner


def error(pruner: Pruner, damped: Tensor, probes: Tensor, solved: Tensor) -> float:
    """Of Q against the solution Q* u, both applied to probes u (p, d)."""
    estimator = pruner.estimator
    parts = [estimator.product(u, part) for part, u in enumerate(probes.split(estimator.parts, -1))]
    wrong = torch.cat(parts, -1) - solved
    return ((wrong @ damped * wrong).sum() / (probes * solved).sum()).sqrt().item()


def accuracies(pruner: Pruner, sparsity: float, splits: dict[str, Split]) -> tuple[float, float]:
    """(validation, test) after removing weights in one step."""
    pruner.prune(sparsity)
    whole = recalibrated(pruner.model, splits["training"][0])
    return tuple(evaluate(whole, *splits[name])["accuracy"] for name in ("validation", "test"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=6)
    parser.add_argument("--images", type=int, nargs="+", default=[12, 40, 120, 400, 1197])
    parser.add_argument("--gamma", type=float, default=1e-3, help="of the reference")
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    splits = digits()
    model = build({"name": "resnet", "depth": 8, "width": options.width, "channels": 1, "classes": 10}, 0)
    train(model, splits["training"], splits["validation"], RECIPE, 0, Checkpoint(None, {}))
    layout = Layout.of(model, prunable(model))
    damped = fisher(model, layout, splits["training"][0])
    damped.diagonal().add_(options.gamma)
    probes = torch.randn(64, layout.size, generator=torch_generator(0, "probes"))
    solved = torch.cholesky_solve(probes.mT, torch.linalg.cholesky(damped)).mT
    dense = evaluate(model, *splits["test"])["accuracy"]
    print(f"{layout.size} weights, dense {dense:.1%} test; {100 * options.sparsity:g} % removed; {options.draws} draws")
    print(f"{'':10}{'images':>7}  error of Q                accuracy (%)")
    for name in NAMES:
        for count in options.images:
            errors, kept = [], []
            for draw in range(options.draws):
                chosen = torch.randperm(len(splits["training"][0]), generator=torch_generator(draw, "images"))[:count]
                inputs = splits["training"][0][chosen]
                tried = [fitted(name, gamma, model, layout, inputs, draw) for gamma in GAMMAS]
                errors.append(min(error(operation, damped, probes, solved) for operation in tried))
                found = [accuracies(operation, options.sparsity, splits) for operation in tried]
                kept.append(100 * max(found, key=lambda both: both[0])[1])  # a tie goes to the greater damping
            print(f"{name:10}{count:7}  {_shown(errors, 3):24}  {_shown(kept, 1)}", flush=True)


def _shown(values: list[float], digits: int) -> str:
    found = interval(values)
    if found.low is None:
        return f"{found.mean:.{digits}f}"
    return f"{found.mean:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


if __name__ == "__main__":
    main()
