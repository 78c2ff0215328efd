"""``fishbone export``: networks' weights → checked ONNX files and their facts as JSON."""

from pathlib import Path
from typing import Annotated

import click
from pydantic import Field

from fishbone.errors import InputError
from fishbone.export.int8 import KINDS, SUITS, Int8Kind
from fishbone.fields import Distinct, Fraction, Name, Seed, Threads
from fishbone.parameters import Block, params_option
from fishbone.stages.export_variants import Source, Variant, named

FRACTION = click.FloatRange(0, 1, min_open=True, max_open=True)


class Channels(Block):
    """Smaller dense networks: whole channels inside the blocks are pruned by FLS."""

    images: int = Field(description="training images for curvature and batch norms", ge=8)
    gammas: Distinct[Annotated[float, Field(gt=0)]] = Field(
        description="dampings to choose from on the validation split", min_length=1
    )
    padding: int = Field(description="random crops of these images shift by up to this; as in training", ge=0)
    flip: bool = Field(description="mirror these images at random; as in training")


class Params(Block):
    opset: int = Field(description="ONNX operator set; 18 to 23 are what PyTorch 2.13 can export", ge=18, le=23)
    parity_images: int = Field(description="validation images on which PyTorch and the file must agree", ge=1)
    calibration_images: int = Field(description="training images on which int8 ranges are measured", ge=1)
    channels: Channels
    licence: str = Field(description="of the weights, as an SPDX identifier; goes into the file", min_length=1)
    threads: Threads = Field(description="threads of one job")


class Int8(Block):
    activations: Distinct[Int8Kind] = Field(description=SUITS)
    networks: Distinct[Name] = Field(description="which of the exported networks: dense, or METHOD-SPARSITY")


class Plan(Params):
    datasets: Distinct[Name] = Field(description="data sets whose networks are exported", min_length=1)
    sparsities: Distinct[Fraction] = Field(
        description="of each pruning method's networks, out of those that `prune` makes; dense is always exported"
    )
    seed: Seed = Field(description="of the run whose networks are exported")
    channel_fractions: Distinct[Fraction] = Field(
        description="of the channels inside the dense network's blocks, to remove"
    )
    int8: Int8


@click.command(
    epilog="Examples: fishbone export --model model.safetensors --data mnist5k.npz"
    ' --params "$(fishbone params export)" --out model.onnx; fishbone export dense fls-0.9 fls-0.9-u8s8'
    " --model model.safetensors --networks fls networks.safetensors --data mnist5k.npz"
    ' --params "$(fishbone params export)" --out exported'
)
@click.argument("variants", nargs=-1, metavar="[VARIANT]...")
@click.option("--model", "weights", required=True, type=click.Path(path_type=Path), help="Weights; .json beside them.")
@click.option("--sparsity", type=FRACTION, help="Which network, of a file that `fishbone prune` made.")
@click.option("--channels", type=FRACTION, help="Remove this fraction of channels.")
@click.option("--int8", type=click.Choice(KINDS), help=f"Quantise; {SUITS}.")
@click.option(
    "--networks",
    multiple=True,
    type=(str, click.Path(path_type=Path)),
    metavar="METHOD FILE",
    help="With VARIANT: networks that `fishbone prune` made of the model; once a method.",
)
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Data set that the network belongs to.")
@params_option(Params)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The .onnx to write; .json goes beside it. With VARIANT: the folder for VARIANT.onnx and VARIANT.json.",
)
def command(
    variants: tuple[str, ...],
    weights: Path,
    sparsity: float | None,
    channels: float | None,
    int8: Int8Kind | None,
    networks: tuple[tuple[str, Path], ...],
    data: Path,
    params: Params,
    out: Path,
) -> None:
    """Export a network to ONNX, or each VARIANT: dense, channels-FRACTION or METHOD-SPARSITY, also with -u8s8
    or another kind of --int8.

    Nothing is written unless the file computes what PyTorch computes, keeps every pruned zero, has batch norm folded
    in, and holds no path of this machine. Of an int8 file the change in accuracy on the test split is told instead.
    """
    if variants:
        _unused("VARIANT", **{"--sparsity": sparsity, "--channels": channels, "--int8": int8})
        wanted = [named(name, weights, dict(networks), out) for name in variants]
    else:
        _unused("one network", **{"--networks": networks or None})
        _check_name(out)
        wanted = [Variant(Source(weights, sparsity, channels), int8, out)]
    from fishbone.export.gates import GateError
    from fishbone.files import try_output
    from fishbone.stages.export_job import export

    for variant in wanted:
        try_output(variant.out)
    try:
        export(wanted, data, params, _print)
    except GateError as error:
        raise click.ClickException(str(error)) from error


def _unused(purpose: str, **options) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise click.UsageError(f"{purpose} and {' and '.join(given)} exclude each other")


def _check_name(out: Path) -> None:
    if out.suffix != ".onnx":
        raise InputError("not an .onnx file", field="--out", value=str(out), remedy="Let its name end in .onnx.")


def _print(out: Path, exported) -> None:
    import onnx

    from fishbone.export.processor import int8_note

    facts, zeros = exported.facts, exported.provenance["sparsity"]
    if cost := exported.int8:
        change = f"{cost.accuracy_before:.4f} to {cost.accuracy:.4f} (McNemar p = {cost.p:.2g})"
        click.echo(f"{out}: int8, test accuracy {change} on {cost.images} images")
        if note := int8_note(onnx.load_model_from_string(exported.content)):
            click.echo(f"{out}: {note}")
    click.echo(f"{out}: {facts.bytes} bytes, {facts.zstd_bytes} compressed, {zeros:.1%} of the weights are zero")
