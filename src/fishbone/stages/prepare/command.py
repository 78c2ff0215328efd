"""``fishbone prepare DATASET``: a named data source → the canonical ``.npz`` and a JSON summary beside it."""

import os
from pathlib import Path

import click

from fishbone.parameters import params_option
from fishbone.stages.prepare.params import Params


@click.command(
    "prepare", epilog="Example: fishbone prepare mnist5k --params JSON --out results/quick/prepare/mnist5k.npz"
)
@click.argument("dataset")
@params_option(Params)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The .npz to write; .json goes beside it.")
def command(dataset: str, params: Params, out: Path) -> None:
    """Read DATASET's raw files, check them, split them and write one file that every stage reads.

    Raw files are searched in the folder or mirror FISHBONE_DATA, then `root`, then the cache, then downloaded.
    """
    from fishbone.stages.prepare import job

    roots = tuple(root for root in (os.environ.get("FISHBONE_DATA"), params.root) if root)
    facts = job.run(dataset, params, roots, out)
    sizes = ", ".join(f"{count} {name}" for name, count in facts["counts"].items())
    click.echo(f"{dataset}: {sizes} images of {facts['shape']} in {len(facts['class_names'])} classes")
