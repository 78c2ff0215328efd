"""``fishbone gan``: FSL-GAN, or the same GAN in one place; writes generator, metrics, history and samples."""

from pathlib import Path
from typing import Annotated, Literal

import click
from pydantic import Field

from fishbone.data.partition import PATTERN
from fishbone.errors import InputError
from fishbone.fields import Distinct, Name, Seed, Threads
from fishbone.parameters import Block, params_option

METHODS = ("fsl_gan", "centralised")


class Device(Block):
    speed: float = Field(description="multiply-accumulates a second", gt=0)
    memory: int = Field(description="bytes for weights, gradients, Adam's moments and activations", ge=1)


class LearningRates(Block):
    """Adam's; one pair for each method, tuned on the validation split with the same grid."""

    generator: float = Field(description="of the generator", gt=0)
    discriminator: float = Field(description="of the discriminators", gt=0)


class MethodRates(Block):
    fsl_gan: LearningRates
    centralised: LearningRates


class Params(Block):
    users: list[Annotated[list[Device], Field(min_length=1)]] = Field(
        description="devices of each user, the one that owns the images first; fsl_gan only", min_length=1
    )
    partition: str = Field(
        description="of images over users: iid, shards-N, dirichlet-ALPHA or quantity-ALPHA; fsl_gan only",
        pattern=PATTERN,
    )
    width: int = Field(description="channels of the first discriminator block; the paper's network has 64", ge=1)
    latent: int = Field(description="length of the noise vector; the paper's is 100", ge=1)
    dropout: float = Field(description="of the discriminators; the paper's is 0.3", ge=0, lt=1)
    batch: int = Field(description="real images in a step over all users, and as many generated", ge=2)
    rounds: int = Field(description="aggregations; the validation split is measured after each", ge=1)
    steps: int = Field(description="of a round; an update of every discriminator and of the generator a step", ge=1)
    learning_rate: MethodRates
    beta1: float = Field(description="Adam's decay of the first moment", ge=0, lt=1)
    samples: int = Field(description="images that are compared with the test split at the end", ge=64)
    validation_samples: int = Field(description="images that are compared with the validation split", ge=2)
    threads: Threads = Field(description="threads of one job; other numbers give other last bits")


class Plan(Params):
    datasets: Distinct[Name] = Field(description="data sets that `prepare` makes", min_length=1)
    methods: Distinct[Literal["fsl_gan", "centralised"]] = Field(description="what to compare", min_length=1)
    seeds: Distinct[Seed] = Field(description="one run each: partition, weights, order and noise", min_length=1)


@click.command(
    epilog="Example: fishbone gan --method fsl_gan --data mnist5k.npz --classifier model.safetensors --seed 0 "
    '--params "$(fishbone params gan)" --out run'
)
@click.option("--method", required=True, type=click.Choice(METHODS), help="Split and federated, or in one place.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Data set made by `fishbone prepare`.")
@click.option(
    "--classifier", required=True, type=click.Path(path_type=Path), help="Weights made by `fishbone train` on the data."
)
@click.option("--seed", required=True, type=int, help="Seed of partition, weights, order and noise.")
@params_option(Params)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Keep progress here and resume from it.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
def command(
    method: str, data: Path, classifier: Path, seed: int, params: Params, checkpoint: Path | None, out: Path
) -> None:
    """Train a GAN whose discriminators are split over their users' devices, or its reference in one place."""
    import torch

    from fishbone.data.dataset import load_dataset
    from fishbone.files import sha256, try_output, write_history, write_json
    from fishbone.gan.evaluation import Evaluation
    from fishbone.gan.samples import write_grid
    from fishbone.gan.training import train
    from fishbone.nn.checkpoint import Checkpoint
    from fishbone.nn.models import save_model
    from fishbone.nn.sidecar import Sidecar

    torch.set_num_threads(params.threads)
    try_output(out / "metrics.json")
    dataset = load_dataset(data)
    space = _feature_space(classifier, dataset)
    evaluation = Evaluation(space, dataset, params.samples, params.validation_samples, seed)
    game, costs = _assemble(method, dataset, params, seed)
    identity = {
        "method": method, "params": params.model_dump(), "seed": seed,
        "data": dataset.digest, "classifier": sha256(classifier),
    }  # fmt: skip
    progress = Checkpoint(checkpoint, identity)
    history = train(game, params.rounds, evaluation.validation, progress, _print)

    scores, images = evaluation.final(game.generator)
    architecture = {
        "name": "dcgan_generator", "shape": list(dataset.shape), "width": params.width, "latent": params.latent
    }  # fmt: skip
    save_model(out / "generator.safetensors", game.generator.eval(), Sidecar.of(architecture, dataset))
    write_history(out / "history.csv", history)
    write_grid(out / "samples.png", images[:64], columns=8, zoom=2)
    scores["fcd_validation"] = history[-1]["fcd_validation"]
    write_json(out / "metrics.json", scores | costs())
    progress.remove()
    click.echo(f"FCD {scores['fcd']:.2f} (train split {scores['fcd_floor']:.2f}, noise {scores['fcd_noise']:.2f})")


def _feature_space(path: Path, dataset):
    from fishbone.gan.frechet import FeatureSpace
    from fishbone.nn.models import load_model

    classifier, sidecar = load_model(path)
    sidecar.check_data(dataset, path)
    if not hasattr(classifier, "features"):
        name = sidecar.architecture["name"]
        raise InputError("has no features", file=path, field="architecture.name", value=name, remedy="Give a resnet.")
    return FeatureSpace(classifier, *sidecar.normalisation)


def _assemble(method: str, dataset, params: Params, seed: int):
    """(game, function that gives its costs once it is over)."""
    from fishbone.data.partition import partition
    from fishbone.gan import account, assemble
    from fishbone.gan.batches import to_unit_range
    from fishbone.privacy.audit import RawImageAudit
    from fishbone.seeding import numpy_generator
    from fishbone.split.planner import Capacity

    rates = getattr(params.learning_rate, method)
    setting = assemble.Setting(
        shape=dataset.shape, width=params.width, latent=params.latent, dropout=params.dropout, batch=params.batch,
        steps=params.steps, generator_rate=rates.generator, discriminator_rate=rates.discriminator,
        beta1=params.beta1, seed=seed,
    )  # fmt: skip
    images = to_unit_range(dataset.images[dataset.train])
    steps = params.rounds * params.steps
    if method == "centralised":
        game = assemble.centralised(setting, images)
        return game, lambda: account.centralised(game, dataset.shape, steps)
    parts = partition(
        params.partition, dataset.labels[dataset.train], len(params.users), numpy_generator(seed, "partition")
    )
    devices = [[Capacity(device.speed, device.memory) for device in user] for user in params.users]
    game = assemble.fsl_gan(setting, images, parts, devices, RawImageAudit(images))
    return game, lambda: account.fsl_gan(game, dataset.shape, steps)


def _print(row: dict) -> None:
    click.echo(
        f"round {row['step']}: discriminator loss {row['discriminator_loss']:.3f}, "
        f"generator loss {row['generator_loss']:.3f}, validation FCD {row['fcd_validation']:.2f}"
    )
