"""One trajectory from the dense network to the highest sparsity, with a copy kept at each sparsity asked for.

After every step the checkpoint holds all that the rest of the trajectory needs, so a killed run goes on
bit-identically. The damping is chosen beforehand, by short trajectories judged on validation images.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from fishbone.nn.checkpoint import Checkpoint
from fishbone.pruning.surgeon import Surgeon

KEPT = "kept/"


@dataclass(frozen=True)
class Pruned:
    """The prunable weights and their mask at one sparsity, (d,) each."""

    weights: Tensor
    mask: Tensor


def follow(
    surgeon: Surgeon,
    steps: Sequence[float],
    wanted: Sequence[float],
    judge: Callable[[nn.Module], float],
    checkpoint: Checkpoint,
    notes: dict,
    report: Callable[[dict], None] = lambda row: None,
) -> tuple[dict[float, Pruned], list[dict]]:
    """Prune to each sparsity of ``steps`` in turn.

    Args:
        surgeon: new; its model ends at the last sparsity.
        wanted: members of ``steps`` to keep a copy of.
        judge: model → validation accuracy without recalibration, for the history.
        checkpoint: written after every step and resumed from.
        notes: JSON-able facts to keep in the checkpoint.
        report: called with each step's row.

    Returns:
        The copies by sparsity, and a row a step: ``step``, ``sparsity``,
        ``validation_accuracy_without_recalibration``, ``predicted_loss``, ``residual`` of the solver and, where the
        estimator was refined, what it logged.
    """
    kept, history = _resume(checkpoint, surgeon, wanted)
    for sparsity in steps[len(history) :]:
        log = surgeon.prune(sparsity)
        if sparsity in wanted:
            kept[sparsity] = Pruned(surgeon.layout.read(surgeon.model), surgeon.mask.clone())
        row = {"step": len(history) + 1, "sparsity": (~surgeon.mask).double().mean().item()}
        history.append(row | {"validation_accuracy_without_recalibration": judge(surgeon.model)} | log)
        tensors = {f"{KEPT}{s}/{name}": value for s, copy in kept.items() for name, value in vars(copy).items()}
        checkpoint.save(surgeon.state() | tensors, {"history": history, "notes": notes})
        report(history[-1])
    return kept, history


def _resume(checkpoint: Checkpoint, surgeon: Surgeon, wanted: Sequence[float]) -> tuple[dict, list]:
    saved = checkpoint.load()
    if saved is None or not saved[1]["history"]:
        return {}, []
    mapped, state = saved
    # copies, because tensors in a mapped file lie anywhere, and the last bits of a matrix product depend on alignment
    tensors = {name: tensor.clone() for name, tensor in mapped.items()}
    surgeon.restore({name: value for name, value in tensors.items() if not name.startswith(KEPT)})
    kept = {
        sparsity: Pruned(tensors[f"{KEPT}{sparsity}/weights"], tensors[f"{KEPT}{sparsity}/mask"])
        for sparsity in wanted
        if f"{KEPT}{sparsity}/mask" in tensors
    }
    return kept, state["history"]


def score_dampings(
    model: nn.Module,
    gammas: Sequence[float],
    surgeon: Callable[[nn.Module, float], Surgeon],
    steps: Sequence[float],
    judge: Callable[[nn.Module], float],
) -> dict[str, float]:
    """Each damping's ``judge``'s mean over ``steps`` of a trajectory of its own from ``model``, keyed by its text."""
    scores = {}
    for gamma in gammas:
        candidate = surgeon(copy.deepcopy(model), gamma)
        accuracies = []
        for sparsity in steps:
            candidate.prune(sparsity)
            accuracies.append(judge(candidate.model))
        scores[str(gamma)] = sum(accuracies) / len(accuracies)
    return scores
