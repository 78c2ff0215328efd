"""One job of the stage `prune`: a network made by `fishbone train`, one method, one seed.

Writes the networks of all sparsities with recalibrated batch norms, and their masks, as one artefact
(`fishbone.pruning.networks`); and metrics, history and cost.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fishbone.curvature.gradients import Gradients
from fishbone.curvature.layout import Layout
from fishbone.errors import InputError
from fishbone.files import try_output, write_history, write_json
from fishbone.locking import hold
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.divergence import is_finite
from fishbone.pruning.copies import Copies
from fishbone.pruning.cost import Meter
from fishbone.pruning.factory import PrunerFactory
from fishbone.pruning.judge import Judge
from fishbone.pruning.methods import Method
from fishbone.pruning.networks import Network, save_networks
from fishbone.pruning.pruner import Pruner
from fishbone.pruning.retraining import RATE
from fishbone.pruning.trajectory import follow, score_dampings
from fishbone.stages.prune.params import Params
from fishbone.stages.prune.task import Task, read_task

COLUMN = "validation_accuracy_without_recalibration"


@dataclass(frozen=True)
class Outcome:
    """What the trajectory gave.

    Attributes:
        scores: validation accuracy by the damping's text; empty for methods that have none.
        chosen: ``gamma``, the damping taken; empty likewise.
        dense: test accuracy of the dense network.
        history: a row a step.
        cost: what it took: seconds, bytes and backward passes.
    """

    scores: dict[str, float]
    chosen: dict[str, float]
    dense: float
    history: list[dict[str, Any]]
    cost: dict[str, float | None]


def run(
    name: str,
    model: Path,
    data: Path,
    seed: int,
    params: Params,
    checkpoint: Path | None,
    out: Path,
    report: Callable[[dict[str, Any]], None],
) -> None:
    """Choose the damping, follow the trajectory, test the network at each sparsity and write them all.

    Args:
        name: the method's, a key of `fishbone.pruning.methods.METHODS`.
        model: weights, with their sidecar beside them.
        data: what they were trained on.
        seed: decides the curvature images and directions.
        params: the stage's block of parameters.
        checkpoint: file to keep progress in and to resume from; None keeps none.
        out: folder for the results.
        report: called with each step's row.

    Raises:
        InputError: model, data and parameters do not fit, and names the field; a network is not finite, and none is
            written; or another process does this work.
    """
    torch.set_num_threads(params.threads)
    try_output(out / "metrics.json")
    task = read_task(name, model, data, seed, params)
    progress = Checkpoint(checkpoint, task.identity)
    copies = Copies((checkpoint.parent if checkpoint else out) / f".kept-{progress.identity[:16]}", params.sparsities)
    lock = hold(copies.folder)
    gradients = task.gradients()
    factory = task.factory(gradients)
    judge = task.judge()
    outcome = _prune(task, factory, gradients, judge, progress, copies, report)
    _write(task, outcome, judge, gradients.layout, copies, out)
    progress.remove()
    copies.remove()
    lock.release()


def _prune(
    task: Task,
    factory: PrunerFactory,
    gradients: Gradients,
    judge: Judge,
    progress: Checkpoint,
    copies: Copies,
    report: Callable[[dict[str, Any]], None],
) -> Outcome:
    """Choose the damping and follow the trajectory, or what a checkpoint leaves to do of it."""
    steps, method, network = task.steps, task.method, task.network
    retrain = task.retraining().after if method.retrained else _leave
    saved = copies.resumed(progress, steps)
    with Meter() as whole:
        begun = time.perf_counter()
        scores = saved.notes if saved else _tune(task, factory, judge)
        tuned = time.perf_counter()
        chosen = {"gamma": float(max(scores, key=scores.__getitem__))} if method.damped else {}
        dense = judge.whole(network, "test")["accuracy"]
        started, surgery = time.perf_counter(), Meter()
        pruner = factory.final(network, chosen.get("gamma", 0.0))
        judged = COLUMN, judge.quick
        history = follow(pruner, steps, judged, progress, scores, report, retrain, copies.save, surgery)
    cost = {
        "tuning_seconds": tuned - begun,
        "seconds": time.perf_counter() - started,
        "peak_bytes": whole.peak_bytes,
        "surgery_seconds": surgery.seconds,  # estimating, ranking and compensating, without judging or training
        "surgery_peak_bytes": surgery.peak_bytes,
        "backward_passes": gradients.backward,
    }
    # a resumed run saw only a part
    return Outcome(scores, chosen, dense, history, dict.fromkeys(cost) if saved else cost)


def _tune(task: Task, factory: PrunerFactory, judge: Judge) -> dict[str, float]:
    """Validation accuracy by damping; empty for methods that have none."""
    params = task.params
    gammas = params.gammas if task.method.damped else []
    scores = score_dampings(task.network, gammas, factory.trial, params.tuning_sparsities, judge.quick_recalibrated)
    if scores and not math.isfinite(max(scores.values())):
        raise InputError("none led to a network that holds", field="gammas", value=gammas, remedy="Give greater ones.")
    return scores


def _leave(_pruner: Pruner, _step: int) -> None:
    """Train nothing: most methods do not."""


def _write(task: Task, outcome: Outcome, judge: Judge, layout: Layout, copies: Copies, out: Path) -> None:
    """Test the network at each sparsity and write the results."""
    finite = {gamma: score for gamma, score in outcome.scores.items() if math.isfinite(score)}
    metrics = outcome.chosen | {f"validation_accuracy_by_gamma/{gamma}": score for gamma, score in finite.items()}
    metrics |= {"dense_test_accuracy": outcome.dense}
    networks, network = {}, task.network
    for sparsity in task.params.sparsities:
        mask = copies.restore(network, sparsity)
        networks[sparsity] = Network(judge.recalibrated(network), layout.tensors(mask))
        metrics |= _tested(sparsity, network, networks[sparsity].model, mask, judge, task.method)
    metrics |= {key: value for key, value in outcome.history[0].items() if key.startswith("auxiliary_loss")}
    save_networks(out / "networks.safetensors", networks, task.sidecar.derived(task.parent))
    write_history(out / "history.csv", outcome.history)
    write_json(out / "cost.json", outcome.cost)
    write_json(out / "metrics.json", metrics)


def _tested(
    sparsity: float, network: nn.Module, fresh: nn.Module, mask: Tensor, judge: Judge, method: Method
) -> dict[str, float]:
    """Metrics at one sparsity: that reached, exactly, over the prunable weights and over all parameters; accuracies.

    Args:
        sparsity: what was asked for.
        network: the network as it was pruned.
        fresh: the same with recalibrated batch norms.
        mask: (d,) boolean, True for weights that are left.
        judge: measures both on whole splits.
        method: is to blame if the network is not finite.

    Raises:
        InputError: ``fresh`` or what it answers is not finite.
    """
    found = {split: judge.whole(fresh, split) for split in ("validation", "test")}
    if not (is_finite(fresh) and all(math.isfinite(one["loss"]) for one in found.values())):
        raise InputError(f"at sparsity {sparsity} the network is not finite", **_blame(method))
    gone = int((~mask).sum())
    everything = sum(parameter.numel() for parameter in network.parameters())
    return {
        f"sparsity/{sparsity}": gone / len(mask),
        f"sparsity_of_all_parameters/{sparsity}": gone / everything,
        f"test_accuracy/{sparsity}": found["test"]["accuracy"],
        f"test_accuracy_without_recalibration/{sparsity}": judge.whole(network, "test")["accuracy"],
        f"validation_accuracy/{sparsity}": found["validation"]["accuracy"],
    }


def _blame(method: Method) -> dict[str, str]:
    """The parameter that makes a method's networks blow up, and what to do about it."""
    if method.retrained:
        return {"field": RATE, "remedy": "Lower it."}
    if method.damped:
        return {"field": "gammas", "remedy": "Give greater ones."}
    return {"field": "sparsities", "remedy": "Leave it out."}
