"""One job of the stage `prune`: a network made by `fishbone train`, one method, one seed."""

import functools
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from fishbone.curvature.drift import Drift
from fishbone.curvature.gradients import Gradients
from fishbone.curvature.layout import Layout, prunable
from fishbone.curvature.learning import Learning
from fishbone.curvature.likelihoods import Softmax
from fishbone.data.dataset import Dataset, load_dataset
from fishbone.errors import InputError
from fishbone.files import sha256, try_output, write_history, write_json
from fishbone.locking import hold
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.divergence import is_finite
from fishbone.nn.models import load_model
from fishbone.nn.train import Recipe
from fishbone.pruning.compensation import Solver
from fishbone.pruning.copies import Copies
from fishbone.pruning.cost import Meter
from fishbone.pruning.images import draw
from fishbone.pruning.judge import Judge
from fishbone.pruning.masks import density_steps
from fishbone.pruning.methods import METHODS, ONCE, VARIANTS, Method, estimators
from fishbone.pruning.networks import Network, save_networks
from fishbone.pruning.operation import Operation, Surgery
from fishbone.pruning.retraining import RATE, retrain
from fishbone.pruning.trajectory import follow, score_dampings
from fishbone.seeding import derive
from fishbone.stages.prune_plan import Params

COLUMN = "validation_accuracy_without_recalibration"


def prune(
    name: str,
    model: Path,
    data: Path,
    seed: int,
    params: Params,
    checkpoint: Path | None,
    out: Path,
    report: Callable[[dict], None],
) -> None:
    """Choose the damping, follow the trajectory, test the network at each sparsity and write them all.

    Args:
        name: of the method.
        model: weights with their sidecar.
        data: what they were trained on.
        seed: of the curvature images and directions.
        report: called with each step's row.

    Raises:
        InputError: model, data and parameters do not fit, and names the field; a network is not finite, and none is
            written; or another process does this work.
    """
    torch.set_num_threads(params.threads)
    try_output(out / "metrics.json")
    dataset = load_dataset(data)
    network, sidecar = load_model(model)
    method = (METHODS | VARIANTS)[name]
    sidecar.check_data(dataset, model)
    _check(params, method, dataset)
    if not is_finite(network):
        raise InputError("holds weights that are not finite", file=model, remedy="Train it again.")
    parent = sha256(model)
    work = {"method": name, "params": params.model_dump(), "data": dataset.digest, "model": parent, "seed": seed}
    progress = Checkpoint(checkpoint, work)
    copies = Copies((checkpoint.parent if checkpoint else out) / f".kept-{progress.identity[:16]}", params.sparsities)
    lock = hold(copies.folder)
    pace = params.retraining if method.retrained else params
    steps = density_steps(params.sparsities, pace.steps_per_halving)
    images = functools.partial(draw, dataset, padding=params.padding, flip=params.flip, seed=seed, drawn=params.draw)
    gradients = _gradients(method, params, network, *images(params.curvature_images, "curvature"), seed)
    operations = _operations(method, params, network, gradients, seed)
    recalibration, _ = images(params.recalibration_images, "recalibration")
    judge = Judge.of(
        dataset, recalibration, images=params.judging_images, drawn=params.draw, precision=params.precision, seed=seed
    )

    saved = copies.resumed(progress, steps)
    with Meter() as whole:
        begun = time.perf_counter()
        scores = saved.notes if saved else _tune(method, params, network, operations(trial=True), judge)
        tuned = time.perf_counter()
        chosen = {"gamma": float(max(scores, key=scores.get))} if method.damped else {}
        dense = judge.whole(network, "test")["accuracy"]
        train = _retraining(method, params, dataset, seed)
        started, surgery = time.perf_counter(), Meter()
        final = operations()(network, **chosen)
        history = follow(final, steps, (COLUMN, judge.quick), progress, scores, report, train, copies.keep, surgery)
    cost = {
        "tuning_seconds": tuned - begun,
        "seconds": time.perf_counter() - started,
        "peak_bytes": whole.peak_bytes,
        "surgery_seconds": surgery.seconds,  # estimating, ranking and compensating, without judging or training
        "surgery_peak_bytes": surgery.peak_bytes,
        "backward_passes": gradients.backward,
    }
    finite = {gamma: score for gamma, score in scores.items() if math.isfinite(score)}
    metrics = chosen | {f"validation_accuracy_by_gamma/{gamma}": score for gamma, score in finite.items()}
    metrics |= {"dense_test_accuracy": dense}
    networks = {}
    for sparsity in params.sparsities:
        mask = copies.restore(network, sparsity)
        networks[sparsity] = Network(judge.recalibrated(network), gradients.layout.tensors(mask))
        metrics |= _tested(sparsity, network, networks[sparsity].model, mask, judge, method)
    metrics |= {key: value for key, value in history[0].items() if key.startswith("auxiliary_loss")}
    save_networks(out / "networks.safetensors", networks, sidecar.derived(parent))
    write_history(out / "history.csv", history)
    write_json(out / "cost.json", dict.fromkeys(cost) if saved else cost)  # a resumed run saw only a part
    write_json(out / "metrics.json", metrics)
    progress.remove()
    copies.remove()
    lock.release()


def _tune(method: Method, params: Params, network: nn.Module, operation, judge: Judge) -> dict[str, float]:
    """Validation accuracy by damping; empty for methods that have none."""
    gammas = params.gammas if method.damped else []
    scores = score_dampings(network, gammas, operation, params.tuning_sparsities, judge.quick_recalibrated)
    if scores and not math.isfinite(max(scores.values())):
        raise InputError("none led to a network that holds", field="gammas", value=gammas, remedy="Give greater ones.")
    return scores


def _gradients(
    method: Method, params: Params, network: nn.Module, inputs: Tensor, labels: Tensor, seed: int
) -> Gradients:
    """Of the method's share of the curvature images."""
    count = round(method.share * len(inputs))
    softmax = Softmax(params.temperature if method.tempered else 1.0)
    layout = Layout.of(network, prunable(network))
    return Gradients(layout, inputs[:count], params.fisher, softmax, labels[:count], seed)


def _operations(method: Method, params: Params, network: nn.Module, gradients: Gradients, seed: int):
    """trial → (network, damping) → operation; in trials FishLeg does not go on learning."""
    fls = params.fls.model_dump()
    learning = Learning(**fls | {"held_out": round(method.share * fls["held_out"])})
    drift = Drift(gradients, network) if method.first_order else None
    solver = Solver(params.solver_iterations, params.solver_tolerance)

    def operations(trial: bool = False):
        make = estimators(method, gradients, block=params.block, learning=learning, seed=seed)
        learns_on = method.estimator == "fishleg" and not method.changes.get("renew", learning.renew)
        every = ONCE if trial and learns_on else method.refine_every
        surgery = Surgery(method.ranking, method.compensation, every, solver, scope=params.scope)

        def operation(model: nn.Module, gamma: float = 0.0) -> Operation:
            return Operation(model, gradients.layout, make(gamma, trial), surgery, drift)

        return operation

    return operations


def _retraining(method: Method, params: Params, dataset: Dataset, seed: int) -> Callable[[Operation, int], None]:
    """(operation, step): trains what is left, or does nothing."""
    if not method.retrained:
        return lambda operation, step: None
    chosen = params.retraining.model_dump(exclude={"steps_per_halving"})
    whole_images = {"early_epochs": 0, "early_size": dataset.shape[-1]}
    recipe = Recipe(**chosen, **whole_images, padding=params.padding, flip=params.flip)
    splits = dataset.split("train"), dataset.split("validation")

    def train(operation: Operation, step: int) -> None:
        retrain(operation.model, operation.layout, operation.mask, *splits, recipe, derive(seed, "retraining", step))

    return train


def _tested(
    sparsity: float, network: nn.Module, fresh: nn.Module, mask: Tensor, judge: Judge, method: Method
) -> dict[str, float]:
    """Metrics at one sparsity: that reached, exactly, over the prunable weights and over all parameters; accuracies.

    Args:
        network: as pruned.
        fresh: with recalibrated batch norms.

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


def _check(params: Params, method: Method, dataset: Dataset) -> None:
    if params.fisher == "labels" and params.temperature != 1:
        remedy = "Set temperature to 1, or fisher to exact or signs."
        raise InputError(
            "the empirical matrix has no temperature", field="temperature", value=params.temperature, remedy=remedy
        )
    fls = params.fls.model_dump() | method.changes
    if method.estimator == "fishleg" and method.refine_every == 1 and not (fls["renew"] or fls["later_steps"]):
        raise InputError("this method goes on learning", field="fls.later_steps", value=0, remedy="Give 1 or more.")
    if not fls["precondition"] and not fls["first_steps"]:
        raise InputError("this method learns", field="fls.first_steps", value=0, remedy="Give 1 or more.")
    for field, value, most in (
        ("curvature_images", params.curvature_images, len(dataset.train)),
        ("recalibration_images", params.recalibration_images, len(dataset.train)),
        ("judging_images", params.judging_images, len(dataset.validation)),
        ("fls.held_out", params.fls.held_out, int((round(method.share * params.curvature_images) - 1) / method.share)),
    ):
        if value > most:
            raise InputError("more images than there are", field=field, value=value, remedy=f"Give at most {most}.")
