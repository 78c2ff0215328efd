"""``fishbone bench``: accuracy, parity, latency, memory and size of ONNX classifiers on devices → one JSON each."""

import importlib
import tempfile
from pathlib import Path

import click
from pydantic import Field

from fishbone.bench.protocol import Protocol
from fishbone.ending import ended_by_signals
from fishbone.errors import InputError
from fishbone.fields import Distinct, Name, Seed, Threads
from fishbone.parameters import Block


class Params(Block):
    threads: Threads = Field(description="threads of ONNX Runtime; a single one is pinned to a core")
    seconds: float = Field(description="seconds of interleaved warm rounds for each model", gt=0)
    sittings: int = Field(description="parts of that time; each loads all models anew", ge=1)
    block_ms: float = Field(description="milliseconds of repeated runs of a model in a round", gt=0)
    warmup_seconds: float = Field(description="seconds of warm-up for each model, at least 10 runs a sitting", ge=0)
    sustained_seconds: float = Field(
        description="seconds of the baseline alone without rest: does the device slow down? 0: none", ge=0
    )
    cold_runs: int = Field(description="fresh processes for each model", ge=0)
    images: int = Field(description="test images for accuracy, at most", ge=1)
    budget_seconds: float = Field(description="wall time for a device; then it reports what it has", gt=0)
    sparse: bool = Field(description="run models with at least half of their weights zero in the sparse runtime too")
    seed: Seed = Field(description="of the order of models, and of inputs without a data set")


class Plan(Params):
    devices: Distinct[Name] = Field(description="names in devices.yaml", min_length=1)


def _protocol_options(function):
    """One option a parameter. People get the documented protocol, the pipeline its block through ``--params``."""
    for name, field in reversed(Params.model_fields.items()):
        flag = name.replace("_", "-")
        function = click.option(
            f"--{flag}/--no-{flag}" if field.annotation is bool else f"--{flag}",
            type=field.annotation,
            default=getattr(Protocol(), name),
            show_default=True,
            help=f"{field.description[0].upper()}{field.description[1:]}.",
        )(function)
    return function


def _as_defaults(context: click.Context, _option, text: str | None) -> None:
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
@_protocol_options
def command(models, data, baseline, file, name, out, metrics, html, as_json, **options) -> None:
    """Measure MODELs (ONNX image classifiers of any origin) on devices and compare them with a baseline.

    All models take turns in shuffled rounds, so a speed-up is a ratio within rounds, with its 95 % interval; the
    baseline runs twice, to show how large a difference is noise. A model or device that fails is a row with a status.
    """
    from fishbone.bench.devices import read_devices
    from fishbone.bench.job import write_job
    from fishbone.bench.summary import flat, summarise
    from fishbone.data.dataset import load_dataset
    from fishbone.export.facts import file_facts
    from fishbone.files import try_output, write_json

    for target in filter(None, (out, metrics, html)):
        try_output(target)
    protocol = Protocol(**Params.parse(options, file="options").model_dump())
    devices = _chosen(read_devices(file), name, out or metrics)
    index = _index(models, baseline)
    dataset = load_dataset(data) if data else None
    facts = []
    for model in models:
        click.echo(f"facts of {model.name}", err=True)
        facts.append(file_facts(model))
    results = []
    sparse = [place for place, known in enumerate(facts) if protocol.sparse and _half_zero(known)]
    for device, entry in devices.items():
        with ended_by_signals(), tempfile.TemporaryDirectory() as folder:
            job = write_job(models, index, dataset, protocol, Path(folder), sparse)
            outcome = entry.run(job.file, protocol.budget_seconds)
        result = summarise(device, entry.kind, outcome, job, facts, dataset and dataset.digest)
        if out:
            write_json(out, result.model_dump())
        if metrics:
            write_json(metrics, flat(result))
        _show(result, as_json)
        results.append(result)
    if html:
        from fishbone.files import write_text

        # By name: a figure's look is no part of a measurement, which an import would make stale.
        page = importlib.import_module("fishbone.report.bench_page")
        write_text(
            html, page.bench_page([result.model_dump() for result in results], dataset.name if dataset else "noise")
        )
        click.echo(f"page: {html}", err=True)
    if len(results) > 1 and not as_json:
        _show_together(results)


def _chosen(devices: dict, name: str | None, file: Path | None) -> dict:
    known = ", ".join(devices)
    if name is not None and name not in devices:
        raise InputError("no such device", field="--device", value=name, remedy=f"Choose one of {known}.")
    if name is None and file and len(devices) > 1:
        raise InputError("one file cannot hold several devices", file=file, remedy=f"Choose --device: {known}.")
    return devices if name is None else {name: devices[name]}


def _half_zero(known) -> bool:
    return known.weights is not None and not known.quantised and known.nonzero <= known.weights / 2


def _index(models: tuple[Path, ...], baseline: Path | None) -> int:
    places = [model.resolve() for model in models]
    if baseline is None:
        return 0
    if baseline.resolve() not in places:
        raise InputError("not among the models", field="--baseline", value=str(baseline), remedy="Name it as a MODEL.")
    return places.index(baseline.resolve())


def _show_together(results: list) -> None:
    from rich.console import Console

    from fishbone.bench.table import together

    console = Console(highlight=False)
    Console(width=None if console.is_terminal else 160, highlight=False).print(together(results))


def _show(result, as_json: bool) -> None:
    if as_json:
        click.echo(result.model_dump_json())
        return
    from rich.console import Console

    from fishbone.bench.table import notes, table

    console = Console(highlight=False)
    # Not on a terminal, rich assumes 80 columns and would cut the table.
    Console(width=None if console.is_terminal else 160, highlight=False).print(table(result))
    for note in notes(result):
        click.echo(note)
