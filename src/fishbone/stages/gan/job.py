"""One job of the stage ``gan``: one method, one data set, one seed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from fishbone.data.dataset import Dataset, load_dataset
from fishbone.data.partition import partition
from fishbone.errors import InputError
from fishbone.files import sha256, try_output, write_history, write_json
from fishbone.gan.batches import to_unit_range
from fishbone.gan.grid import write_grid
from fishbone.gan.methods import METHODS
from fishbone.gan.quality.evaluation import Evaluation
from fishbone.gan.quality.frechet import FeatureSpace
from fishbone.gan.setting import Population, Setting
from fishbone.gan.training import train
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.models import load_model, save_model
from fishbone.nn.resnet import ResNet
from fishbone.nn.sidecar import Sidecar
from fishbone.privacy.audit import RawImageAudit
from fishbone.seeding import numpy_generator
from fishbone.split.planner import Capacity
from fishbone.stages.gan.params import Params


def run(
    method: str,
    data: Path,
    classifier: Path,
    seed: int,
    params: Params,
    checkpoint: Path | None,
    out: Path,
    report: Callable[[dict[str, Any]], None],
) -> dict[str, float]:
    """Train, judge, and write the generator with its sidecar, metrics, history and samples.

    Args:
        method: a name in `fishbone.gan.methods.METHODS`.
        data: the prepared data set.
        classifier: weights whose features the distances are measured in.
        seed: decides partition, weights, order and noise; the same seed gives the same bits.
        params: the stage's block of parameters.
        checkpoint: file to keep progress in and to resume from; None keeps none.
        out: folder for the results.
        report: called with each round's row.

    Returns:
        The metrics.

    Raises:
        InputError: an input or ``out`` cannot be used, a loss is not finite, or another process does this work.
    """
    torch.set_num_threads(params.threads)
    try_output(out / "metrics.json")
    dataset = load_dataset(data)
    evaluation = Evaluation(
        _feature_space(classifier, dataset), dataset, params.samples, params.validation_samples, seed
    )  # fmt: skip
    game = METHODS[method](_setting(method, dataset, params, seed), _population(dataset, params, seed))
    identity = {
        "method": method, "params": params.model_dump(), "seed": seed,
        "data": dataset.digest, "classifier": sha256(classifier),
    }  # fmt: skip
    progress = Checkpoint(checkpoint, identity)
    history = train(game, params.rounds, evaluation.validation, progress, report)

    scores, images = evaluation.final(game.generator)
    architecture = {
        "name": "dcgan_generator", "shape": list(dataset.shape), "width": params.width, "latent": params.latent
    }  # fmt: skip
    save_model(out / "generator.safetensors", game.generator.eval(), Sidecar.of(architecture, dataset))
    write_history(out / "history.csv", history)
    write_grid(out / "samples.png", images[:64], columns=8, zoom=2)
    scores["fcd_validation"] = history[-1]["fcd_validation"]
    metrics = scores | game.costs(params.rounds)
    write_json(out / "metrics.json", metrics)
    progress.remove()
    return metrics


def _feature_space(path: Path, dataset: Dataset) -> FeatureSpace:
    classifier, sidecar = load_model(path)
    sidecar.check_data(dataset, path)
    if not isinstance(classifier, ResNet):
        name = sidecar.architecture["name"]
        raise InputError("has no features", file=path, field="architecture.name", value=name, remedy="Give a resnet.")
    return FeatureSpace(classifier, *sidecar.normalisation)


def _setting(method: str, dataset: Dataset, params: Params, seed: int) -> Setting:
    rates = getattr(params.learning_rate, method)
    return Setting(
        shape=dataset.shape, width=params.width, latent=params.latent, dropout=params.dropout, batch=params.batch,
        steps=params.steps, generator_rate=rates.generator, discriminator_rate=rates.discriminator,
        beta1=params.beta1, seed=seed,
    )  # fmt: skip


def _population(dataset: Dataset, params: Params, seed: int) -> Population:
    images = to_unit_range(dataset.images[dataset.train])
    labels = dataset.labels[dataset.train]
    return Population(
        images=images,
        parts=partition(params.partition, labels, len(params.users), numpy_generator(seed, "partition")),
        devices=[[Capacity(device.speed, device.memory) for device in user] for user in params.users],
        observers=[RawImageAudit(images)],
    )
