"""One trajectory from the dense network to the highest sparsity, with a copy kept at each sparsity asked for.

After every step the checkpoint holds all that the rest of the trajectory needs, so a killed run goes on
bit-identically. The damping is chosen beforehand, by short trajectories judged on validation images.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from fishbone.nn.checkpoint import Checkpoint
from fishbone.pruning.operation import Operation

KEPT = "kept/"


@dataclass(frozen=True)
class Pruned:
    """A copy of the network's state at one sparsity, and the mask of its prunable weights, (d,)."""

    network: dict[str, Tensor]
    mask: Tensor


def follow(
    operation: Operation,
    steps: Sequence[float],
    wanted: Sequence[float],
    judge: tuple[str, Callable[[nn.Module], float]],
    checkpoint: Checkpoint,
    notes: dict,
    report: Callable[[dict], None] = lambda row: None,
    retrain: Callable[[Operation, int], None] = lambda operation, step: None,
) -> tuple[dict[float, Pruned], list[dict]]:
    """Prune to each sparsity of ``steps`` in turn.

    Args:
        operation: new; its model ends at the last sparsity.
        wanted: members of ``steps`` to keep a copy of.
        judge: a column of the history and what fills it, such as the validation accuracy.
        checkpoint: written after every step and resumed from.
        notes: JSON-able facts to keep in the checkpoint.
        report: called with each step's row.
        retrain: called after each step, before the copy is kept, with the number of steps taken; trains the weights
            that are left.

    Returns:
        The copies by sparsity, and a row a step: ``step``, ``sparsity``, the judge's column, ``predicted_loss``
        (of the weights that the solve was for: with ``anchored`` compensation all since the anchor, else the step's),
        ``residual`` of the solver and, where the estimator was refined, what it logged.
    """
    column, judged = judge
    kept, history = _resume(checkpoint, operation, wanted)
    for sparsity in steps[len(history) :]:
        log = operation.prune(sparsity)
        retrain(operation, len(history) + 1)
        if sparsity in wanted:
            state = {name: value.clone() for name, value in operation.model.state_dict().items()}
            kept[sparsity] = Pruned(state, operation.mask.clone())
        row = {"step": len(history) + 1, "sparsity": (~operation.mask).double().mean().item()}
        history.append(row | {column: judged(operation.model)} | log)
        _save(checkpoint, operation, kept, {"history": history, "notes": notes})
        report(history[-1])
    return kept, history


def _save(checkpoint: Checkpoint, operation: Operation, kept: dict[float, Pruned], state: dict) -> None:
    copies = {f"{KEPT}{s}/mask": one.mask for s, one in kept.items()}
    for sparsity, one in kept.items():
        copies |= {f"{KEPT}{sparsity}/network/{name}": value for name, value in one.network.items()}
    checkpoint.save(operation.state() | copies, state)


def _resume(checkpoint: Checkpoint, operation: Operation, wanted: Sequence[float]) -> tuple[dict, list]:
    saved = checkpoint.load()
    if saved is None or not saved[1]["history"]:
        return {}, []
    tensors, state = saved
    operation.restore({name: value for name, value in tensors.items() if not name.startswith(KEPT)})
    kept = {}
    for sparsity in wanted:
        prefix = f"{KEPT}{sparsity}/network/"
        network = {n.removeprefix(prefix): value for n, value in tensors.items() if n.startswith(prefix)}
        if network:
            kept[sparsity] = Pruned(network, tensors[f"{KEPT}{sparsity}/mask"])
    return kept, state["history"]


def score_dampings(
    model: nn.Module,
    gammas: Sequence[float],
    operation: Callable[[nn.Module, float], Operation],
    steps: Sequence[float],
    judge: Callable[[nn.Module], float],
) -> dict[str, float]:
    """Each damping's ``judge``'s mean over ``steps`` of a trajectory of its own from ``model``, keyed by its text.

    More is better; what is not a number counts as minus infinity.
    """
    scores = {}
    for gamma in gammas:
        candidate = operation(copy.deepcopy(model), gamma)
        accuracies = []
        for sparsity in steps:
            candidate.prune(sparsity)
            accuracies.append(judge(candidate.model))
        mean = sum(accuracies) / len(accuracies)
        scores[str(gamma)] = mean if math.isfinite(mean) else -math.inf
    return scores
