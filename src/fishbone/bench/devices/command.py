"""``fishbone device``: which devices there are, whether they can measure, and what they lack."""

import sys
from pathlib import Path

import click
import yaml

from fishbone.bench.devices.file import parse_device, read_devices
from fishbone.bench.devices.kinds import KINDS, Device, Ssh
from fishbone.bench.devices.outcome import DeviceError
from fishbone.errors import InputError
from fishbone.files import write_text

FILE = Path("devices.yaml")

file_option = click.option(
    "--devices",
    "file",
    default=FILE,
    show_default=True,
    type=click.Path(path_type=Path),
    help="Devices file; where there is none, this machine.",
)


@click.group("device", epilog="Example: fishbone device add pi ssh host=pi@10.0.0.7 && fishbone device check pi")
def command() -> None:
    """List, check, add and provision devices to measure on."""


@command.command("list")
@file_option
def list_devices(file: Path) -> None:
    """Names, kinds and fields, as the devices file has them."""
    for name, device in _known(file).items():
        fields = device.model_dump(exclude={"kind"}, exclude_none=True)
        click.echo(f"{name}: {device.kind} {' '.join(f'{key}={value}' for key, value in fields.items())}".rstrip())


@command.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@file_option
def check(names: tuple[str, ...], file: Path) -> None:
    """Whether each device can be reached and has what the agent needs; ends with 1 if one has not."""
    well = True
    for name, device in _chosen(names, file).items():
        try:
            click.echo(f"{name}: ok, {device.check()}")
        except DeviceError as failed:
            well = False
            click.echo(f"{name}: {failed.outcome.status}: {failed}")
    if not well:
        sys.exit(1)


@command.command(epilog="Example: fishbone device add small constrained 'cpus=[0]' memory_mb=200")
@click.argument("name")
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("fields", nargs=-1, metavar="[FIELD=VALUE]...")
@file_option
def add(name: str, kind: str, fields: tuple[str, ...], file: Path) -> None:
    """Write one more device to the file; comments in it stay."""
    entry = {"kind": kind}
    for field in fields:
        key, equals, value = field.partition("=")
        if not equals:
            raise InputError(
                "not FIELD=VALUE", field="FIELD", value=field, remedy="Write for example host=pi@10.0.0.7."
            )
        entry[key] = yaml.safe_load(value)
    parse_device(entry, str(file), name)
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    if text and name in read_devices(file):
        raise InputError("there is such a device", file=file, field=name, remedy="Take another name, or edit the file.")
    written = yaml.safe_dump({name: entry}, sort_keys=False)
    write_text(file, (text if not text or text.endswith("\n") else text + "\n") + written)
    click.echo(f"{file}: {name} added; `fishbone device check {name}` tries it")


@command.command()
@click.argument("name")
@file_option
def provision(name: str, file: Path) -> None:
    """Install numpy and onnxruntime on an ssh device that need not have internet; its Python must be 3.11 or newer."""
    device = _chosen((name,), file)[name]
    if not isinstance(device, Ssh):
        raise InputError(
            "only ssh devices are provisioned", file=file, field=name, value=device.kind, remedy="None needed."
        )
    try:
        click.echo(f"{name}: onnxruntime {device.provision()} is installed there")
    except DeviceError as failed:
        click.echo(f"{name}: {failed.outcome.status}: {failed}", err=True)
        sys.exit(1)


def _chosen(names: tuple[str, ...], file: Path) -> dict[str, Device]:
    devices = _known(file)
    for name in names:
        if name not in devices:
            raise InputError("no such device", file=file, value=name, remedy=f"Choose one of {', '.join(devices)}.")
    return {name: devices[name] for name in names or devices}


def _known(file: Path) -> dict[str, Device]:
    return read_devices(None if file == FILE and not file.exists() else file)
