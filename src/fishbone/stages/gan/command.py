"""``fishbone gan``: FSL-GAN, or the same GAN in one place; writes generator, metrics, history and samples."""

from pathlib import Path
from typing import Any

import click

from fishbone.parameters import params_option
from fishbone.stages.gan.params import METHODS, Params


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
    from fishbone.stages.gan import job

    metrics = job.run(method, data, classifier, seed, params, checkpoint, out, _print)
    click.echo(f"FCD {metrics['fcd']:.2f} (train split {metrics['fcd_floor']:.2f}, noise {metrics['fcd_noise']:.2f})")


def _print(row: dict[str, Any]) -> None:
    click.echo(
        f"round {row['step']}: discriminator loss {row['discriminator_loss']:.3f}, "
        f"generator loss {row['generator_loss']:.3f}, validation FCD {row['fcd_validation']:.2f}"
    )
