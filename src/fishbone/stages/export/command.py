"""``fishbone export``: the command."""

from pathlib import Path

import click

from fishbone.export.int8 import KINDS, SUITS, Int8Kind
from fishbone.parameters import params_option
from fishbone.stages.export.params import Params
from fishbone.stages.export.variants import Variant, named, single

FRACTION = click.FloatRange(0, 1, min_open=True, max_open=True)


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
    wanted: list[Variant]
    if variants:
        _unused("VARIANT", **{"--sparsity": sparsity, "--channels": channels, "--int8": int8})
        wanted = [named(name, weights, dict(networks), out) for name in variants]
    else:
        _unused("one network", **{"--networks": networks or None})
        wanted = [single(weights, sparsity, channels, int8, out)]
    from fishbone.stages.export import job

    job.run(wanted, data, params)


def _unused(purpose: str, **options: object) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise click.UsageError(f"{purpose} and {' and '.join(given)} exclude each other")
