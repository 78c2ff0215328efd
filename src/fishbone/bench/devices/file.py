"""The devices file: names → entries with a ``kind`` and its fields (`fishbone.bench.devices.kinds`)."""

from pathlib import Path

import yaml

from fishbone.bench.devices.kinds import KINDS, Device, Local
from fishbone.errors import InputError

METRICS = ".metrics"  # results are DEVICE.json and DEVICE.metrics.json


def read_devices(path: str | Path | None) -> dict[str, Device]:
    """Name → device; without a file, this machine as ``local``.

    Raises:
        InputError: the file is missing, no YAML mapping, or an entry is wrong.
    """
    if path is None:
        return {"local": Local(kind="local")}
    remedy = "Give a name and a `kind` for each device."
    try:
        entries = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("file is missing", file=path, remedy="Name it with --devices.") from None
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML: {error}", file=path, remedy="Mend the line that it names.") from None
    if not isinstance(entries, dict) or not entries:
        raise InputError("holds no devices", file=path, value=entries, remedy=remedy)
    return {str(name): parse_device(entry, str(path), str(name)) for name, entry in entries.items()}


def parse_device(entry: object, file: str, name: str) -> Device:
    """One entry of a devices file.

    Raises:
        InputError: unknown kind, a wrong field, or a name whose result would be another device's.
    """
    if name.endswith(METRICS):
        problem = f"DEVICE.json would be the {METRICS}.json of another device"
        raise InputError(problem, file=file, value=name, remedy="Take another name.")
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or kind not in KINDS:
        remedy = f"Give one of {', '.join(KINDS)}."
        raise InputError("no such kind of device", file=file, field=f"{name}.kind", value=kind, remedy=remedy)
    return KINDS[kind].parse(entry, file=file, field=name)
