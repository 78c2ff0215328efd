"""One trajectory from the dense network to the highest sparsity.

After every step the checkpoint holds all that the rest of the trajectory needs, so a killed run goes on
bit-identically. The damping is chosen beforehand, by short trajectories judged on validation images.
"""

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from fishbone.errors import InputError
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.divergence import is_finite
from fishbone.pruning.pruner import Pruner

NO_METER = nullcontext()


def follow(
    operation: Pruner,
    steps: Sequence[float],
    judge: tuple[str, Callable[[nn.Module], float]],
    checkpoint: Checkpoint,
    notes: dict,
    report: Callable[[dict], None] = lambda row: None,
    retrain: Callable[[Pruner, int], None] = lambda operation, step: None,
    keep: Callable[[Pruner, float], None] = lambda operation, sparsity: None,
    meter: AbstractContextManager = NO_METER,
) -> list[dict]:
    """Prune to each sparsity of ``steps`` in turn.

    Args:
        operation: new; its model ends at the last sparsity.
        judge: a column of the history and what fills it, such as the validation accuracy.
        checkpoint: written after every step and resumed from.
        notes: JSON-able facts to keep in the checkpoint.
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
    column, judged = judge
    history = _resume(checkpoint, operation)
    for sparsity in steps[len(history) :]:
        with meter:
            log = _prune(operation, sparsity)
        retrain(operation, len(history) + 1)
        keep(operation, sparsity)
        row = {"step": len(history) + 1, "sparsity": (~operation.mask).double().mean().item()}
        history.append(row | {column: judged(operation.model)} | log)
        checkpoint.save(operation.state(), {"history": history, "notes": notes})
        report(history[-1])
    return history


def _prune(operation: Pruner, sparsity: float) -> dict[str, float]:
    try:
        log = operation.prune(sparsity)
    except torch.linalg.LinAlgError as error:
        problem = f"the curvature cannot be inverted ({error})"
    else:
        if is_finite(operation.model):
            return log
        problem = "the network is not finite"
    raise InputError(f"at sparsity {sparsity} {problem}", field="gammas", remedy="Give greater ones.")


def _resume(checkpoint: Checkpoint, operation: Pruner) -> list[dict]:
    saved = checkpoint.load()
    if saved is None or not saved[1]["history"]:
        return []
    tensors, state = saved
    operation.restore(tensors)
    return state["history"]


def score_dampings(
    model: nn.Module,
    gammas: Sequence[float],
    operation: Callable[[nn.Module, float], Pruner],
    steps: Sequence[float],
    judge: Callable[[nn.Module], float],
) -> dict[str, float]:
    """Each damping's ``judge``'s mean over ``steps`` of a trajectory of its own from ``model``, keyed by its text.

    More is better; what is not a number counts as minus infinity, and so does a damping that leads to a network that is
    not finite, or whose curvature cannot be inverted.
    """
    scores = {}
    for gamma in gammas:
        candidate = operation(copy.deepcopy(model), gamma)
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
