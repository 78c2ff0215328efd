"""``fishbone train``: a ResNet on a prepared data set."""

from pathlib import Path
from typing import Any

import click

from fishbone.parameters import params_option
from fishbone.stages.train.params import Params


@click.command(
    epilog='Example: fishbone train --data digits.npz --seed 0 --params "$(fishbone params train)" --out run'
)
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Data set made by `fishbone prepare`.")
@click.option("--seed", required=True, type=int, help="Seed of initial weights, order and augmentation.")
@params_option(Params)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Keep progress here and resume from it.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
def command(data: Path, seed: int, params: Params, checkpoint: Path | None, out: Path) -> None:
    """Train a ResNet with SGD and a one-cycle schedule."""
    from fishbone.stages.train import job

    metrics = job.run(data, seed, params, checkpoint, out, _print)
    click.echo(f"test accuracy {metrics['test_accuracy']:.4f}")


def _print(row: dict[str, Any]) -> None:
    click.echo(
        f"epoch {row['step']}: train loss {row['train_loss']:.4f}, validation accuracy {row['validation_accuracy']:.4f}"
    )
