"""ONNX files measured on devices: the library's entrance, and what ``fishbone bench`` does."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from fishbone.bench.devices.file import read_devices
from fishbone.bench.devices.kinds import Device
from fishbone.bench.procedure import Procedure
from fishbone.bench.results import DeviceResult
from fishbone.bench.summary import summarise
from fishbone.bench.task import write_task
from fishbone.data.dataset import Dataset, load_dataset
from fishbone.export.facts import file_facts
from fishbone.export.schema import FileFacts


def measure(
    models: Sequence[str | Path],
    data: Dataset | str | Path | None = None,
    *,
    devices: Mapping[str, Device] | None = None,
    baseline: int = 0,
    procedure: Procedure = Procedure(),  # noqa: B008 (frozen)
) -> list[DeviceResult]:
    """Measure ONNX classifiers on devices and compare them with one of them.

    All models take turns in shuffled rounds, so a speed-up is a ratio within rounds. A model or a device that fails is
    a result with a status, not an exception.

    Args:
        models: ONNX files of any origin with one image input.
        data: data set for accuracy, or its file; None: random inputs are timed.
        devices: by name, as `fishbone.bench.devices.file.read_devices` gives them; None: this machine.
        baseline: the place among ``models`` of the one that speed-ups refer to.
        procedure: how long and how often to measure.

    Returns:
        One result a device, in their order.

    Raises:
        InputError: a model is no ONNX file, is given twice, or does not take the data set's images.
    """
    dataset = load_dataset(data) if isinstance(data, str | Path) else data
    chosen = read_devices(None) if devices is None else devices
    return list(measured([Path(model) for model in models], dataset, chosen, baseline, procedure))


def measured(
    models: Sequence[Path],
    dataset: Dataset | None,
    devices: Mapping[str, Device],
    baseline: int,
    procedure: Procedure,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[DeviceResult]:
    """As `measure`, each result as soon as its device is done.

    Args:
        models: ONNX files of any origin with one image input.
        dataset: data set for accuracy; None: random inputs.
        devices: the devices to measure on, by name.
        baseline: the place among ``models`` of the one that speed-ups refer to.
        procedure: how long and how often to measure.
        say: is told what takes time before the first device begins.
    """
    facts = []
    for model in models:
        say(f"facts of {model.name}")
        facts.append(file_facts(model))
    sparse = [place for place, known in enumerate(facts) if procedure.sparse and _half_zero(known)]
    for name, device in devices.items():
        with tempfile.TemporaryDirectory() as folder:
            task = write_task(models, baseline, dataset, procedure, Path(folder), sparse)
            outcome = device.run(task.file, procedure.budget_seconds)
        yield summarise(name, device.kind, outcome, task, facts, dataset.digest if dataset else None)


def _half_zero(known: FileFacts) -> bool:
    if known.weights is None or known.nonzero is None or known.quantised:
        return False
    return known.nonzero <= known.weights / 2
