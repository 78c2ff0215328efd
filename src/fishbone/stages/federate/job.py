"""Federated training of one two-branch network: from a data set to a network, its metrics and its history."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import click
import torch
from torch import Tensor

from fishbone.data.dataset import Dataset, load_dataset
from fishbone.errors import InputError
from fishbone.federated.engines.in_process import in_process, one_machine
from fishbone.federated.methods import METHODS
from fishbone.federated.methods.centralised import everything
from fishbone.federated.methods.protocol import Tensors
from fishbone.federated.names import family, mix
from fishbone.federated.roles import Role, assign
from fishbone.federated.rounds import Federation
from fishbone.federated.training import FederatedTraining
from fishbone.federated.work import LocalWork
from fishbone.files import try_output, write_history, write_json
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.divergence import require_finite
from fishbone.nn.evaluate import evaluate
from fishbone.nn.loop import resume
from fishbone.nn.models import build, save_model
from fishbone.nn.optimiser import Optimiser
from fishbone.nn.sidecar import Sidecar
from fishbone.nn.two_branch import TwoBranch
from fishbone.stages.federate.params import Params


def run(method: str, data: Path, seed: int, params: Params, checkpoint: Path | None, out: Path) -> None:
    """Train, and write ``model.safetensors``, ``model.json``, ``metrics.json`` and ``history.csv``.

    Args:
        method: ``hovefl-H-V``, ``fedavg`` or ``centralised``; checked.
        data: a data set made by ``fishbone prepare``.
        seed: decides partition, initial weights and the order of samples; the same seed gives the same bytes.
        params: the stage's block of parameters.
        checkpoint: where progress is kept; None keeps none.
        out: folder for the results.

    Raises:
        InputError: the data do not fit the parameters, or training diverged.
        FishboneError: a member failed, or none is left.
    """
    torch.set_num_threads(params.threads)
    try_output(out / "metrics.json")
    dataset = load_dataset(data)
    architecture = _architecture(dataset, data, params)
    model = cast(TwoBranch, build(architecture, seed))
    federation, facts = _federation(method, model, dataset, params, seed)
    validation, test = dataset.split("validation"), dataset.split("test")

    def score(weights: Tensors, split: tuple[Tensor, Tensor]) -> dict[str, float]:
        model.load_state_dict(weights)
        return evaluate(model, *split)

    progress = Checkpoint(
        checkpoint, {"method": method, "params": params.model_dump(), "data": dataset.digest, "seed": seed}
    )
    training = FederatedTraining(federation, model.state_dict(), lambda weights: score(weights, validation))
    history = resume(training, params.rounds, progress, _print)
    final = score(training.state.weights, test)
    require_finite(final["loss"], "the test loss", f"round {params.rounds}, the last", field=federation.field)
    save_model(out / "model.safetensors", model, Sidecar.of(architecture, dataset))
    last = history[-1]
    metrics = {
        "test_accuracy": final["accuracy"],
        "test_loss": final["loss"],
        "validation_accuracy": last["validation_accuracy"],
        "validation_loss": last["validation_loss"],
        "rounds": len(history),
    }
    write_json(out / "metrics.json", metrics | facts | training.counts.metrics())
    write_history(out / "history.csv", history)
    progress.remove()
    click.echo(f"test accuracy {final['accuracy']:.4f}, test loss {final['loss']:.4f}")


def _architecture(dataset: Dataset, data: Path, params: Params) -> dict[str, Any]:
    if params.parties > dataset.shape[2]:
        remedy = f"Give at most {dataset.shape[2]}, the width of the images in {data}."
        raise InputError("too many", file="--params", field="parties", value=params.parties, remedy=remedy)
    return {
        "name": "two_branch", "shape": list(dataset.shape), "classes": dataset.classes,
        "embedding": params.embedding, "hidden": params.hidden, "parties": params.parties,
    }  # fmt: skip


def _federation(
    method: str, model: TwoBranch, dataset: Dataset, params: Params, seed: int
) -> tuple[Federation, dict[str, int]]:
    """The federation of a method, and facts about its members for metrics.json."""
    name = family(method)
    rule = METHODS[name](server_rate=params.server_learning_rate)
    optimiser = Optimiser("sgd", getattr(params.learning_rate, name))
    work = LocalWork(seed, params.local_epochs, params.batch, optimiser)
    field = f"learning_rate.{name}"
    inputs, labels = dataset.split("train")
    if name == "centralised":
        role = everything(len(labels))
        return Federation([role], one_machine(role, model, inputs, labels), rule, work, field), _facts(0, 0, [role])
    horizontal, vertical = mix(method) or (params.members, 0)
    roles = assign(
        labels.numpy(), horizontal, vertical, parties=params.parties, seed=seed,
        horizontal_partition=params.horizontal_partition, vertical_partition=params.vertical_partition,
    )  # fmt: skip
    engine = in_process(roles, model, inputs, labels)
    return Federation(roles, engine, rule, work, field), _facts(horizontal, vertical, roles)


def _facts(horizontal: int, vertical: int, roles: Sequence[Role]) -> dict[str, int]:
    samples = sum(len(role.samples) for role in roles)
    return {"horizontal_devices": horizontal, "vertical_groups": vertical, "training_samples": samples}


def _print(row: dict[str, Any]) -> None:
    click.echo(
        f"round {row['step']}: train loss {row['train_loss']:.4f}, "
        f"validation accuracy {row['validation_accuracy']:.4f}, {row['bytes'] / 1e6:.1f} MB"
    )
