"""``fishbone export``: a network's weights → one checked ONNX file and its facts as JSON."""

from pathlib import Path
from typing import Annotated, Literal

import click
from pydantic import Field

from fishbone.errors import InputError
from fishbone.parameters import Block, params_option


class Channels(Block):
    """Smaller dense networks: whole channels inside the blocks are pruned by FLS."""

    images: int = Field(description="training images for curvature and batch norms", ge=8)
    gammas: list[Annotated[float, Field(gt=0)]] = Field(
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
    threads: int = Field(description="threads of one job", ge=1)


class Int8(Block):
    activations: list[Literal["u8s8", "s8s8"]] = Field(description="u8s8 suits x86, s8s8 ARM")
    networks: list[str] = Field(description="which of the exported networks: dense, or METHOD-SPARSITY")


class Plan(Params):
    datasets: list[str] = Field(description="data sets whose networks are exported", min_length=1)
    sparsities: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        description="of each pruning method's networks, out of those that `prune` makes; dense is always exported"
    )
    seed: int = Field(description="of the run whose networks are exported", ge=0)
    channel_fractions: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        description="of the channels inside the dense network's blocks, to remove"
    )
    int8: Int8


@click.command(
    epilog='Example: fishbone export --model model.safetensors --data mnist5k.npz --params "$(fishbone params export)"'
    " --out model.onnx"
)
@click.option("--model", "weights", required=True, type=click.Path(path_type=Path), help="Weights; .json beside them.")
@click.option("--mask", type=click.Path(path_type=Path), help="Masks of a pruned network, by parameter; 1 is kept.")
@click.option(
    "--channels", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="Remove this fraction of channels."
)
@click.option("--int8", type=click.Choice(["u8s8", "s8s8"]), help="Quantise, with uint8 or int8 activations.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Data set that the network belongs to.")
@params_option(Params)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The .onnx to write; .json goes beside it.")
def command(
    weights: Path, mask: Path | None, channels: float | None, int8: str | None, data: Path, params: Params, out: Path
) -> None:
    """Export a network to ONNX.

    Nothing is written unless the file computes what PyTorch computes, keeps every pruned zero, has batch norm folded
    in, and holds no path of this machine. Of an int8 file the change in accuracy on the test split is told instead.
    """
    import torch

    from fishbone.data.dataset import load_dataset
    from fishbone.edge.checked import check_masks, checked_export, checked_int8
    from fishbone.edge.gates import GateError
    from fishbone.files import read_tensors, sha256, try_output
    from fishbone.nn.models import load_model

    torch.set_num_threads(params.threads)
    _check_name(out)
    try_output(out)
    network, description = load_model(weights)
    dataset = load_dataset(data)
    _check_data(description, weights, dataset, data)
    if mask:
        check_masks(network, read_tensors(mask)[0], mask)
    for stale in (out, out.with_suffix(".json")):
        stale.unlink(missing_ok=True)
    images = dataset.normalise(dataset.images[dataset.validation[: params.parity_images]])
    provenance = {**description, "parent": sha256(weights), "licence": params.licence}
    if channels:
        network, found = _without_channels(network, dataset, channels, params)
        provenance |= found
    try:
        exported = checked_export(network, images, opset=params.opset, threads=params.threads, provenance=provenance)
        if int8:
            calibration = {"calibration_images": params.calibration_images, "threads": params.threads}
            exported = checked_int8(exported, dataset, activations=int8, **calibration)
    except GateError as error:
        raise click.ClickException(f"{weights} was not exported: {error}") from error
    _write(exported, out)


def _without_channels(network, dataset, fraction: float, params: Params) -> tuple:
    """(smaller network, what its provenance says of that)."""
    from fishbone.pruning.channels import shrink
    from fishbone.pruning.images import draw

    chosen = params.channels
    if chosen.images > len(dataset.train):
        remedy = f"Give at most {len(dataset.train)}."
        raise InputError("more than there are", field="channels.images", value=chosen.images, remedy=remedy)
    curvature = draw(dataset, chosen.images, "curvature", padding=chosen.padding, flip=chosen.flip, seed=0)
    made = shrink(network, fraction, curvature, dataset.split("validation"), gammas=chosen.gammas, seed=0)
    return made.model, {"channels": made.kept, "channel_fraction": fraction, "gamma": made.gamma}


def _check_name(out: Path) -> None:
    if out.suffix != ".onnx":
        raise InputError("not an .onnx file", field="--out", value=str(out), remedy="Let its name end in .onnx.")


def _check_data(description: dict, weights: Path, dataset, data: Path) -> None:
    if description["data"]["sha256"] != dataset.digest:
        problem = f"not the data that {weights} belongs to ({description['data']['name']})"
        raise InputError(problem, file=data, remedy="Give the file that the network was trained on.")


def _write(exported, out: Path) -> None:
    from dataclasses import asdict

    from fishbone.files import replacing, write_json

    facts = exported.facts
    with replacing(out) as temporary:
        temporary.write_bytes(exported.content)
    written = {"facts": facts.model_dump(), "parity": asdict(exported.parity), "provenance": exported.provenance}
    write_json(out.with_suffix(".json"), written | ({"int8": asdict(exported.int8)} if exported.int8 else {}))
    zeros = exported.provenance["sparsity"]
    if cost := exported.int8:
        change = f"{cost.accuracy_before:.4f} to {cost.accuracy:.4f} (McNemar p = {cost.p:.2g})"
        click.echo(f"{out}: int8, test accuracy {change} on {cost.images} images")
    click.echo(f"{out}: {facts.bytes} bytes, {facts.zstd_bytes} compressed, {zeros:.1%} of the weights are zero")
