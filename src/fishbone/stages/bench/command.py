"""``fishbone bench``: the command."""

from collections.abc import Callable, Sequence
from pathlib import Path

import click
from pydantic import BaseModel

from fishbone.bench.procedure import Procedure
from fishbone.stages.bench.params import Params


def _procedure_options(function: Callable[..., None]) -> Callable[..., None]:
    """One option a parameter. People get the documented procedure, the pipeline its block through ``--params``."""
    for name, field in reversed(Params.model_fields.items()):
        flag, text = name.replace("_", "-"), field.description or name
        function = click.option(
            f"--{flag}/--no-{flag}" if field.annotation is bool else f"--{flag}",
            type=field.annotation,
            default=getattr(Procedure(), name),
            show_default=True,
            help=f"{text[0].upper()}{text[1:]}.",
        )(function)
    return function


def _as_defaults(context: click.Context, _option: click.Parameter, text: str | None) -> None:
    if text is not None:
        context.default_map = Params.parse(text, file="--params").model_dump()


@click.command(epilog="Example: fishbone bench dense.onnx pruned.onnx --data mnist5k.npz --seconds 10")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...", type=click.Path(path_type=Path))
@click.option(
    "--data", type=click.Path(path_type=Path), help="Data set for accuracy; without it, random inputs are timed."
)
@click.option("--baseline", type=click.Path(path_type=Path), help="What speed-ups refer to.  [default: first MODEL]")
@click.option("--devices", "file", type=click.Path(path_type=Path), help="Devices file.  [default: this machine]")
@click.option("--device", "name", help="One of the file's devices.  [default: all]")
@click.option("--out", type=click.Path(path_type=Path), help="Write the JSON here, with the median of every round.")
@click.option("--metrics", type=click.Path(path_type=Path), help="Write the table's numbers here, flat.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page with table and figure here.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON a device instead of the table.")
@click.option(
    "--params", is_eager=True, expose_value=False, callback=_as_defaults, metavar="JSON",
    help="A complete parameter block in place of the defaults below; `fishbone params bench` prints one.",
)  # fmt: skip
@_procedure_options
def command(
    models: tuple[Path, ...],
    data: Path | None,
    baseline: Path | None,
    file: Path | None,
    name: str | None,
    out: Path | None,
    metrics: Path | None,
    html: Path | None,
    as_json: bool,
    **options: float | bool,
) -> None:
    """Measure MODELs (ONNX image classifiers of any origin) on devices and compare them with a baseline.

    All models take turns in shuffled rounds, so a speed-up is a ratio within rounds, with its 95 % interval; the
    baseline runs twice, to show how large a difference is noise. A model or device that fails is a row with a status.
    """
    procedure = Procedure(**Params.parse(options, file="options").model_dump())
    from fishbone.stages.bench import job

    job.check_outputs(out, metrics, html)
    results = job.run(
        models, baseline, data, devices_file=file, device=name, procedure=procedure,
        out=out, metrics=metrics, as_json=as_json,
    )  # fmt: skip
    if html:
        _write_page(html, results, data.stem if data else "noise")


def _write_page(html: Path, results: Sequence[BaseModel], dataset: str) -> None:
    """For people; its look is no part of a measurement, so the job does not import it."""
    from fishbone.files import write_text  # here, as it brings NumPy
    from fishbone.report.bench_page import bench_page

    write_text(html, bench_page([result.model_dump() for result in results], dataset))
    click.echo(f"page: {html}", err=True)
