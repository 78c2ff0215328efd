"""One trajectory from the dense network to the highest sparsity.

After every step the checkpoint holds all that the rest of the trajectory needs, so a killed run goes on
bit-identically. The damping is chosen beforehand, by short trajectories judged on validation images.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fishbone.errors import InputError
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.divergence import is_finite
from fishbone.nn.loop import resume
from fishbone.pruning.pruner import Pruner

NO_METER = nullcontext()


Notes = dict[str, float]


def follow(
    pruner: Pruner,
    steps: Sequence[float],
    judge: tuple[str, Callable[[nn.Module], float]],
    checkpoint: Checkpoint,
    notes: Notes,
    report: Callable[[dict[str, Any]], None] = lambda row: None,
    retrain: Callable[[Pruner, int], None] = lambda pruner, step: None,
    keep: Callable[[Pruner, float], None] = lambda pruner, sparsity: None,
    meter: AbstractContextManager[object] = NO_METER,
) -> list[dict[str, Any]]:
    """Prune to each sparsity of ``steps`` in turn.

    Args:
        pruner: new; its model ends at the last sparsity.
        steps: rising sparsities in (0, 1).
        judge: a column of the history and what fills it, such as the validation accuracy.
        checkpoint: written after every step and resumed from.
        notes: JSON-able facts to keep in the checkpoint; `saved` gives them back.
        report: called with each step's row.
        retrain: called after each step with the number of steps taken; trains the weights that are left.
        keep: called then with the step's sparsity, and before the checkpoint is written.
        meter: entered for every step's surgery, such as `fishbone.pruning.cost.Meter`.

    Returns:
        A row a step: ``step``, ``sparsity``, the judge's column, ``predicted_loss``
        (of the weights that the solve was for: with ``anchored`` compensation all since the anchor, else the step's),
        ``residual`` of the solver and, where the estimator was refined, what it logged.

    Raises:
        InputError: removing weights led to a network that is not finite, or its curvature cannot be inverted; nothing
            of that step is kept.
    """
    work = _Trajectory(pruner, steps, judge, notes, retrain, keep, meter)
    return resume(work, len(steps), checkpoint, report)


@dataclass(frozen=True)
class Saved:
    """What the checkpoint of a trajectory tells: how many ``steps`` are done, and its ``notes``."""

    steps: int
    notes: Notes


def saved(checkpoint: Checkpoint) -> Saved | None:
    """What the checkpoint of `follow` tells; None where there is nothing to resume.

    Raises:
        InputError: the file is damaged, or another process works on it.
    """
    found = checkpoint.load()
    return None if found is None else Saved(len(found[1]["history"]), found[1]["work"]["notes"])


@dataclass(frozen=True)
class _Trajectory:
    """`fishbone.nn.loop.Work` whose step is a sparsity; fields as `follow` has them."""

    pruner: Pruner
    sparsities: Sequence[float]
    judge: tuple[str, Callable[[nn.Module], float]]
    notes: Notes
    retrain: Callable[[Pruner, int], None]
    keep: Callable[[Pruner, float], None]
    meter: AbstractContextManager[object]

    def step(self, number: int) -> dict[str, Any]:
        """Prune to the next sparsity, retrain, keep and judge."""
        pruner, sparsity = self.pruner, self.sparsities[number - 1]
        with self.meter:
            log = _prune(pruner, sparsity)
        self.retrain(pruner, number)
        self.keep(pruner, sparsity)
        column, judged = self.judge
        reached = (~pruner.mask).double().mean().item()
        return {"sparsity": reached, column: judged(pruner.model)} | log

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The pruner's state; the notes."""
        return self.pruner.state(), {"notes": self.notes}

    def unpack(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Inverse of `pack`; the notes are as they were given."""
        self.pruner.restore(dict(tensors))


def _prune(pruner: Pruner, sparsity: float) -> dict[str, float]:
    try:
        log = pruner.prune(sparsity)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]  # torch exports it under another name
        problem = f"the curvature cannot be inverted ({error})"
    else:
        if is_finite(pruner.model):
            return log
        problem = "the network is not finite"
    raise InputError(f"at sparsity {sparsity} {problem}", field="gammas", remedy="Give greater ones.")


def score_dampings(
    model: nn.Module,
    gammas: Sequence[float],
    trial: Callable[[nn.Module, float], Pruner],
    steps: Sequence[float],
    judge: Callable[[nn.Module], float],
) -> dict[str, float]:
    """Each damping's ``judge``'s mean over ``steps`` of a trajectory of its own from ``model``, keyed by its text.

    More is better; what is not a number counts as minus infinity, and so does a damping that leads to a network that is
    not finite, or whose curvature cannot be inverted.
    """
    scores = {}
    for gamma in gammas:
        candidate = trial(copy.deepcopy(model), gamma)
        accuracies = []
        for sparsity in steps:
            try:
                _prune(candidate, sparsity)
            except InputError:
                accuracies.append(-math.inf)
                break
            accuracies.append(judge(candidate.model))
        mean = sum(accuracies) / len(accuracies)
        scores[str(gamma)] = mean if math.isfinite(mean) else -math.inf
    return scores
