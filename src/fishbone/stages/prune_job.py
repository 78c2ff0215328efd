"""One job of the stage `prune`: a network made by `fishbone train`, one method, one seed."""

import copy
import functools
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

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
from fishbone.nn.checkpoint import Checkpoint, read_checked, write_checked
from fishbone.nn.evaluate import evaluate
from fishbone.nn.memory_format import memory_format
from fishbone.nn.models import load_model
from fishbone.nn.train import Recipe, uses_bf16
from fishbone.pruning.compensation import Solver
from fishbone.pruning.cost import Meter
from fishbone.pruning.images import draw, judging, recalibrated
from fishbone.pruning.masks import density_steps
from fishbone.pruning.methods import METHODS, ONCE, VARIANTS, Method, estimators
from fishbone.pruning.networks import Network, save_networks
from fishbone.pruning.operation import Operation, Surgery
from fishbone.pruning.retraining import retrain
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
        InputError: model, data and parameters do not fit, and names the field; or another process does this work.
    """
    torch.set_num_threads(params.threads)
    try_output(out / "metrics.json")
    dataset = load_dataset(data)
    network, description = load_model(model)
    method = (METHODS | VARIANTS)[name]
    _check(params, method, dataset, description, data)
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
    judge = Judge.of(dataset, params, images(params.recalibration_images, "recalibration")[0], seed)

    saved = _saved(progress, copies, steps)
    with Meter() as whole:
        begun = time.perf_counter()
        scores = saved["notes"] if saved else _tune(method, params, network, operations(trial=True), judge)
        tuned = time.perf_counter()
        chosen = {"gamma": float(max(scores, key=scores.get))} if method.damped else {}
        dense = judge.accuracy(network, "test")
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
        metrics |= _tested(sparsity, network, networks[sparsity].model, mask, judge)
    metrics |= {key: value for key, value in history[0].items() if key.startswith("auxiliary_loss")}
    save_networks(out / "networks.safetensors", networks, description | {"parent": parent})
    write_history(out / "history.csv", history)
    write_json(out / "cost.json", dict.fromkeys(cost) if saved else cost)  # a resumed run saw only a part
    write_json(out / "metrics.json", metrics)
    progress.remove()
    copies.remove()
    lock.release()


@dataclass(frozen=True)
class Judge:
    """How well a pruned network classifies.

    Attributes:
        splits: ``validation`` and ``test``, each inputs (N, C, H, W) and labels (N,).
        few: inputs and labels from the validation split, for quick answers.
        recalibration: training inputs for batch-norm statistics.
        bf16: whether quick answers are in bfloat16.
    """

    splits: dict[str, tuple[Tensor, Tensor]]
    few: tuple[Tensor, Tensor]
    recalibration: Tensor
    bf16: bool

    @classmethod
    def of(cls, dataset: Dataset, params: Params, recalibration: Tensor, seed: int) -> Self:
        splits = {name: dataset.split(name) for name in ("validation", "test")}
        few = judging(dataset, params.judging_images, seed, params.draw)
        return cls(splits, few, recalibration, uses_bf16(params.precision, torch.device("cpu")))

    def accuracy(self, network: nn.Module, split: str) -> float:
        faster = copy.deepcopy(network).to(memory_format=memory_format(network))  # channels_last: a quarter less time
        return evaluate(faster, *self.splits[split])["accuracy"]

    def quick(self, network: nn.Module) -> float:
        with self._quickly():
            return evaluate(network, *self.few)["accuracy"]

    def quick_recalibrated(self, network: nn.Module) -> float:
        with self._quickly():
            return self.quick(self.recalibrated(network))

    def recalibrated(self, network: nn.Module) -> nn.Module:
        return recalibrated(network, self.recalibration)

    def _quickly(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.bf16)


@dataclass(frozen=True)
class Copies:
    """The network at each of ``sparsities``, kept in ``folder`` until all are tested: a resumed run needs them."""

    folder: Path
    sparsities: list[float]

    def keep(self, operation: Operation, sparsity: float) -> None:
        if sparsity in self.sparsities:
            write_checked(self._file(sparsity), operation.model.state_dict() | {"mask": operation.mask}, {})

    def restore(self, network: nn.Module, sparsity: float) -> Tensor:
        """Put the weights into ``network``; the mask."""
        state, _ = read_checked(self._file(sparsity))
        mask = state.pop("mask")
        network.load_state_dict(state)
        return mask

    def complete(self, steps: list[float]) -> bool:
        """Whether all is there after these steps."""
        return all(self._file(sparsity).exists() for sparsity in steps if sparsity in self.sparsities)

    def remove(self) -> None:
        shutil.rmtree(self.folder)

    def _file(self, sparsity: float) -> Path:
        return self.folder / f"{sparsity}.safetensors"


def _saved(progress: Checkpoint, copies: Copies, steps: list[float]) -> dict | None:
    """What the checkpoint tells; of no use, and removed, without the copies made so far."""
    saved = progress.load()
    if saved is None:
        return None
    if copies.complete(steps[: len(saved[1]["history"])]):
        return saved[1]
    progress.remove()
    return None


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


def _tested(sparsity: float, network: nn.Module, fresh: nn.Module, mask: Tensor, judge: Judge) -> dict[str, float]:
    """Metrics at one sparsity: that reached, exactly, over the prunable weights and over all parameters; accuracies.

    Args:
        network: as pruned.
        fresh: with recalibrated batch norms.
    """
    gone = int((~mask).sum())
    everything = sum(parameter.numel() for parameter in network.parameters())
    return {
        f"sparsity/{sparsity}": gone / len(mask),
        f"sparsity_of_all_parameters/{sparsity}": gone / everything,
        f"test_accuracy/{sparsity}": judge.accuracy(fresh, "test"),
        f"test_accuracy_without_recalibration/{sparsity}": judge.accuracy(network, "test"),
        f"validation_accuracy/{sparsity}": judge.accuracy(fresh, "validation"),
    }


def _check(params: Params, method: Method, dataset: Dataset, description: dict, file: Path) -> None:
    if description["data"]["sha256"] != dataset.digest:
        remedy = f"Give {description['data']['name']}.npz as it was then, or train again."
        raise InputError("the network was trained on other data", file=file, remedy=remedy)
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
