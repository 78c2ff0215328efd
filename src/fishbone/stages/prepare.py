"""``fishbone prepare DATASET``: a named data source → the canonical ``.npz`` and a JSON summary beside it."""

import os
from pathlib import Path
from typing import Annotated, Literal

import click
from pydantic import Field

from fishbone.data.sources import LOCATED, NAMED
from fishbone.errors import InputError
from fishbone.fields import Distinct, Name, Seed, Threads
from fishbone.parameters import Block, params_option


class Named(Block):
    """A source that Fishbone knows by name."""

    kind: Literal[*NAMED] = Field(description="the source's name")


class Located(Block):
    """Images of one's own in a common layout."""

    kind: Literal[*LOCATED] = Field(description="the layout")
    path: str = Field(min_length=1, description="file or folder, absolute or relative to a root")


Source = Annotated[Named | Located, Field(discriminator="kind")]


class Params(Block):
    """The ``prepare`` block."""

    seed: Seed = Field(description="of the splits")
    validation: float = Field(gt=0, lt=1, description="fraction of the training split")
    test: float = Field(gt=0, lt=1, description="fraction of all samples, where there is no official test split")
    root: str | None = Field(description="folder or mirror URL searched for raw files; FISHBONE_DATA goes before it")
    threads: Threads = Field(description="images decoded at once")
    sources: dict[Name, Source] = Field(min_length=1, description="data set name → its source")


class Plan(Params):
    """What the workflow prepares."""

    datasets: Distinct[Name] = Field(min_length=1, description="which of the sources to prepare")


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
    from fishbone.data.dataset import load_dataset, summary
    from fishbone.files import try_output, write_json

    source = _source(dataset, params, out)
    try_output(out)
    origin = _convert(source, params, out)
    facts = summary(load_dataset(out))
    write_json(out.with_suffix(".json"), {**facts, **origin})
    sizes = ", ".join(f"{count} {name}" for name, count in facts["counts"].items())
    click.echo(f"{dataset}: {sizes} images of {facts['shape']} in {len(facts['class_names'])} classes")


def _convert(source: Named | Located, params: Params, out: Path) -> dict:
    """Write ``out`` and tell where its images come from; large sources leave memory on return."""
    from fishbone.data.dataset import save_dataset
    from fishbone.data.raw import Request
    from fishbone.data.sources import read
    from fishbone.data.splits import split

    roots = tuple(root for root in (os.environ.get("FISHBONE_DATA"), params.root) if root)
    raw = read(Request(source.kind, getattr(source, "path", None), roots, params.threads))
    arrays = split(raw, seed=params.seed, validation=params.validation, test=params.test)
    save_dataset(out, **arrays, class_names=raw.class_names)
    return {"source": source.kind, "official_test": raw.test is not None, "files": raw.files}


def _source(dataset: str, params: Params, out: Path) -> Named | Located:
    if dataset not in params.sources:
        raise InputError(
            "no such data set",
            file="--params",
            field="sources",
            value=dataset,
            remedy=f"Choose one of {', '.join(params.sources)}, or add it there.",
        )
    if out.suffix != ".npz":
        raise InputError("not an .npz file", field="--out", value=str(out), remedy="Let its name end in .npz.")
    return params.sources[dataset]
