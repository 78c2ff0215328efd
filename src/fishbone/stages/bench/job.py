"""One job of the stage `bench`: exported networks that take turns on a device."""

from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from fishbone.bench.devices.file import read_devices
from fishbone.bench.devices.kinds import Device
from fishbone.bench.procedure import Procedure
from fishbone.bench.results import DeviceResult
from fishbone.bench.run import measured
from fishbone.bench.summary import flat
from fishbone.bench.table import notes, table, together
from fishbone.data.dataset import load_dataset
from fishbone.ending import ended_by_signals
from fishbone.errors import InputError
from fishbone.files import try_output, write_json


def check_outputs(*files: Path | None) -> None:
    """Whether files can be written, before minutes of measuring.

    Raises:
        InputError: one cannot; names it.
    """
    for file in filter(None, files):
        try_output(file)


def run(
    models: Sequence[Path],
    baseline: Path | None,
    data: Path | None,
    devices_file: Path | None,
    device: str | None,
    procedure: Procedure,
    *,
    out: Path | None,
    metrics: Path | None,
    as_json: bool,
) -> list[DeviceResult]:
    """Measure, write and show each device's result as it comes.

    Args:
        models: ONNX files of any origin with one image input.
        baseline: the one of them that speed-ups refer to; None: the first.
        data: data set for accuracy; None: random inputs.
        devices_file: devices by name; None: this machine.
        device: the one of them to measure on; None: all.
        procedure: how long and how often to measure.
        out: where the result goes as JSON; None: nowhere.
        metrics: where its numbers go, flat; None: nowhere.
        as_json: print one line of JSON a device in place of tables.

    Raises:
        InputError: devices, baseline or models are not what they have to be.
    """
    devices = _chosen(read_devices(devices_file), device, out or metrics)
    place = _place(models, baseline)
    dataset = load_dataset(data) if data else None
    results = []
    with ended_by_signals():
        for result in measured(models, dataset, devices, place, procedure, say=lambda text: click.echo(text, err=True)):
            if out:
                write_json(out, result.model_dump())
            if metrics:
                write_json(metrics, flat(result))
            _show(result, as_json)
            results.append(result)
    if len(results) > 1 and not as_json:
        _print(together(results))
    return results


def _chosen(devices: dict[str, Device], name: str | None, file: Path | None) -> dict[str, Device]:
    known = ", ".join(devices)
    if name is not None and name not in devices:
        raise InputError("no such device", field="--device", value=name, remedy=f"Choose one of {known}.")
    if name is None and file and len(devices) > 1:
        raise InputError("one file cannot hold several devices", file=file, remedy=f"Choose --device: {known}.")
    return devices if name is None else {name: devices[name]}


def _place(models: Sequence[Path], baseline: Path | None) -> int:
    places = [model.resolve() for model in models]
    if baseline is None:
        return 0
    if baseline.resolve() not in places:
        raise InputError("not among the models", field="--baseline", value=str(baseline), remedy="Name it as a MODEL.")
    return places.index(baseline.resolve())


def _show(result: DeviceResult, as_json: bool) -> None:
    if as_json:
        click.echo(result.model_dump_json())
        return
    _print(table(result))
    for note in notes(result):
        click.echo(note)


def _print(shown: Table) -> None:
    # Not on a terminal, rich assumes 80 columns and would cut the table.
    width = None if Console(highlight=False).is_terminal else 160
    Console(width=width, highlight=False).print(shown)
