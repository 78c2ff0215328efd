"""The verb ``fishbone federate``."""

from pathlib import Path

import click

from fishbone.parameters import params_option
from fishbone.stages.federate.params import KNOWN, Params, check_method


@click.command(
    epilog="Example: fishbone federate --method hovefl-12-6 --data digits.npz --seed 0 "
    '--params "$(fishbone params federate)" --out run'
)
@click.option("--method", required=True, help=f"One of {KNOWN}.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Data set made by `fishbone prepare`.")
@click.option("--seed", required=True, type=int, help="Seed of partition, initial weights and order.")
@params_option(Params)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Keep progress here and resume from it.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
def command(method: str, data: Path, seed: int, params: Params, checkpoint: Path | None, out: Path) -> None:
    """Train over horizontal devices and vertical groups, or one of the two references."""
    check_method(method, params)
    from fishbone.stages.federate import job

    job.run(method, data, seed, params, checkpoint, out)
