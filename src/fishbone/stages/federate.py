"""``fishbone federate``: HoVeFL, FedAvg or centralised training of one two-branch network."""

import re
from pathlib import Path
from typing import Annotated, Literal

import click
from pydantic import Field, ValidationInfo, field_validator

from fishbone.data.partition import PATTERN
from fishbone.errors import InputError
from fishbone.fields import Distinct, Name, Seed, Threads
from fishbone.parameters import Block, params_option

METHOD = r"^(hovefl-(0|[1-9][0-9]*)-(0|[1-9][0-9]*)|fedavg|centralised)$"


class LearningRates(Block):
    """Of local SGD, one per method: each is tuned on the validation split."""

    hovefl: float = Field(description="of devices and groups", gt=0)
    fedavg: float = Field(description="of devices", gt=0)
    centralised: float = Field(description="of the one machine", gt=0)


class Params(Block):
    members: int = Field(description="horizontal devices plus vertical groups, the same for every method", ge=1)
    parties: int = Field(description="parties of a vertical group, one part of the image each", ge=1)
    horizontal_partition: str = Field(
        description="of samples over horizontal devices: iid, shards-N, dirichlet-ALPHA or quantity-ALPHA",
        pattern=PATTERN,
    )
    vertical_partition: str = Field(description="of samples over vertical groups, likewise", pattern=PATTERN)
    embedding: int = Field(description="floats that a party sends per image", ge=1)
    hidden: int = Field(description="width of the top network", ge=1)
    rounds: int = Field(description="aggregations", ge=1)
    local_epochs: int = Field(description="passes over a member's samples in a round", ge=1)
    batch: int = Field(description="images in a step", ge=1)
    learning_rate: LearningRates
    server_learning_rate: Literal["constant", "harmonic"] = Field(
        description="constant: 1; harmonic: 1/round, what HoVeFL's published code computes"
    )
    threads: Threads = Field(description="threads of one job; other numbers give other last bits")


class Plan(Params):
    datasets: Distinct[Name] = Field(description="data sets that `prepare` makes", min_length=1)
    methods: Distinct[Annotated[str, Field(pattern=METHOD)]] = Field(
        description="hovefl-H-V (H horizontal devices, V vertical groups), fedavg, centralised", min_length=1
    )
    seeds: Distinct[Seed] = Field(description="one run each: partition, initial weights and order", min_length=1)

    @field_validator("methods")
    @classmethod
    def _same_number_of_members(cls, methods: list[str], block: ValidationInfo) -> list[str]:
        members = block.data.get("members")
        for method in methods:
            if members and (mix := _mix(method)) and sum(mix) != members:
                raise ValueError(f"{method} should have as many members as `members`, {members}")
        return methods


@click.command(
    epilog="Example: fishbone federate --method hovefl-12-6 --data digits.npz --seed 0 "
    '--params "$(fishbone params federate)" --out run'
)
@click.option("--method", required=True, help="hovefl-H-V (H devices, V vertical groups), fedavg or centralised.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Data set made by `fishbone prepare`.")
@click.option("--seed", required=True, type=int, help="Seed of partition, initial weights and order.")
@params_option(Params)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Keep progress here and resume from it.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
def command(method: str, data: Path, seed: int, params: Params, checkpoint: Path | None, out: Path) -> None:
    """Train over horizontal devices and vertical groups, or one of the two references."""
    _check_method(method, params)
    import torch

    from fishbone.data.dataset import load_dataset
    from fishbone.federated.rounds import run
    from fishbone.files import try_output
    from fishbone.nn.checkpoint import Checkpoint
    from fishbone.nn.divergence import require_finite
    from fishbone.nn.evaluate import evaluate
    from fishbone.nn.models import build, save_model
    from fishbone.nn.sidecar import Sidecar

    torch.set_num_threads(params.threads)
    try_output(out / "metrics.json")
    dataset = load_dataset(data)
    if params.parties > dataset.shape[2]:
        remedy = f"Give at most {dataset.shape[2]}, the width of the images in {data}."
        raise InputError("too many", file="--params", field="parties", value=params.parties, remedy=remedy)
    architecture = {
        "name": "two_branch", "shape": list(dataset.shape), "classes": dataset.classes,
        "embedding": params.embedding, "hidden": params.hidden, "parties": params.parties,
    }  # fmt: skip
    model = build(architecture, seed)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    advance, facts = _prepare(method, model, dataset, params, seed)
    validation, test = dataset.split("validation"), dataset.split("test")

    def score(weights: dict, split: tuple) -> dict[str, float]:
        model.load_state_dict(weights)
        return evaluate(model, *split)

    identity = {"method": method, "params": params.model_dump(), "data": dataset.digest, "seed": seed}
    progress = Checkpoint(checkpoint, identity)
    field = f"learning_rate.{_rate(method)}"
    end = run(start, params.rounds, advance, lambda weights: score(weights, validation), progress, _print, field)
    final = score(end.weights, test)
    require_finite(final["loss"], "the test loss", f"round {params.rounds}, the last", field=field)
    save_model(out / "model.safetensors", model, Sidecar.of(architecture, dataset))
    _write(out, end, final, facts)
    progress.remove()
    click.echo(f"test accuracy {final['accuracy']:.4f}, test loss {final['loss']:.4f}")


def _mix(method: str) -> tuple[int, int] | None:
    """(horizontal devices, vertical groups) of a ``hovefl-H-V``."""
    parts = method.split("-")
    return (int(parts[1]), int(parts[2])) if parts[0] == "hovefl" else None


def _rate(method: str) -> str:
    """Which of `LearningRates` is the method's."""
    return "hovefl" if _mix(method) else method


def _check_method(method: str, params: Params) -> None:
    if not re.match(METHOD, method):
        remedy = "Give hovefl-H-V (such as hovefl-12-6), fedavg or centralised."
        raise InputError("no such method", field="--method", value=method, remedy=remedy)
    if (mix := _mix(method)) and sum(mix) != params.members:
        remedy = f"Let devices and groups add up to the parameter `members`, {params.members}."
        raise InputError("wrong number of members", field="--method", value=method, remedy=remedy)


def _prepare(method: str, model, dataset, params: Params, seed: int):
    """(one round of the method, facts about its members for metrics.json)."""
    from functools import partial

    import torch

    from fishbone.federated.aggregate import by_samples, class_half
    from fishbone.federated.local import LocalTraining
    from fishbone.federated.roles import assign
    from fishbone.federated.rounds import SERVER_RATES, Federation
    from fishbone.federated.simulate import Centralised, in_process

    mix = _mix(method)
    name = _rate(method)
    optimiser = partial(torch.optim.SGD, lr=getattr(params.learning_rate, name))
    local = LocalTraining(seed, params.local_epochs, params.batch, optimiser, f"learning_rate.{name}")
    inputs, labels = dataset.split("train")
    if method == "centralised":
        return Centralised(model, inputs, labels, local).round, _facts(0, 0, len(labels))
    horizontal, vertical = mix or (params.members, 0)
    roles = assign(
        labels.numpy(), horizontal, vertical, parties=params.parties, seed=seed,
        horizontal_partition=params.horizontal_partition, vertical_partition=params.vertical_partition,
    )  # fmt: skip
    weighting = class_half if mix else by_samples
    transport = in_process(roles, model, inputs, labels, local)
    federation = Federation(roles, transport, weighting, SERVER_RATES[params.server_learning_rate])
    return federation.round, _facts(horizontal, vertical, sum(len(role.samples) for role in roles))


def _facts(horizontal: int, vertical: int, samples: int) -> dict[str, int]:
    return {"horizontal_devices": horizontal, "vertical_groups": vertical, "training_samples": samples}


def _write(out: Path, end, final: dict[str, float], facts: dict[str, int]) -> None:
    from dataclasses import asdict

    from fishbone.files import write_history, write_json

    last = end.history[-1]
    metrics = {
        "test_accuracy": final["accuracy"],
        "test_loss": final["loss"],
        "validation_accuracy": last["validation_accuracy"],
        "validation_loss": last["validation_loss"],
        "rounds": len(end.history),
        "bytes_vertical": end.counts.bytes_vertical,
    }
    write_json(out / "metrics.json", metrics | facts | asdict(end.counts))
    write_history(out / "history.csv", end.history)


def _print(row: dict) -> None:
    click.echo(
        f"round {row['step']}: train loss {row['train_loss']:.4f}, "
        f"validation accuracy {row['validation_accuracy']:.4f}, {row['bytes'] / 1e6:.1f} MB"
    )
