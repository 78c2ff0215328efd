"""How a file is to be read on a data set: what its images become, which output answers, what accuracy then rests on.

The host decides once, from the file's metadata and from what it computes; every kind of device does as the task says.

- *Input*: uint8 takes raw pixels. Floats are (pixel / 255 − mean) / std by channel, with ``fishbone.mean`` and
  ``fishbone.std`` of the file's metadata (JSON lists; 0 and 1/255 mean 0 to 255). A file without them is given the data
  set's own, which is an assumption.
- *Answer*: the one output with a score for each class of the data set (axes of size 1 left out), else a label if that
  is all there is. Anything else (a background class, features, several candidates) has no accuracy.
- *Classes*: ``fishbone.class_names`` of the metadata (a JSON list) must be the data set's, in order. A file without
  them is taken for one of these classes, which is an assumption; with another output that may be the scores it is not.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fishbone.bench.results import Status
from fishbone.data.dataset import Dataset
from fishbone.export.metadata import PREFIX, value_of


@dataclass(frozen=True)
class Reading:
    """How one file is read.

    ``output``: the name of what parity compares and what ``answer`` (scores, label, or None) is taken from.
    ``mean`` and ``std`` are None for raw pixels; ``classes`` is how many there are; ``status`` and ``reason`` are
    accuracy's.
    """

    output: str | None = None
    answer: str | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    classes: int | None = None
    status: Status = "ok"
    reason: str | None = None


class _NoAccuracyError(Exception):
    """The message says why."""


def statistics(metadata: Mapping[str, str], dataset: Dataset) -> tuple[list[float], list[float]]:
    """(mean, std) by channel: the file's own where it has both and they can be used, else the data set's."""
    try:
        return _own(metadata, dataset.shape[0]) or (dataset.mean.tolist(), dataset.std.tolist())
    except _NoAccuracyError:
        return dataset.mean.tolist(), dataset.std.tolist()


def read(
    metadata: Mapping[str, str], outputs: Mapping[str, np.ndarray], count: int, raw: bool, dataset: Dataset | None
) -> Reading:
    """Decide how a file is read, as the module's docstring says.

    Args:
        metadata: all of the file's metadata.
        outputs: what the host computed, by name, in the graph's order.
        count: how many inputs the outputs belong to.
        raw: the graph takes uint8.
        dataset: whose classes it should tell; None: nothing is asked.
    """
    compared = next((name for name, found in outputs.items() if found.dtype.kind == "f"), next(iter(outputs)))
    if dataset is None:
        return Reading(compared)
    mean, std = (None, None) if raw else statistics(metadata, dataset)
    try:
        own = mean is None or _own(metadata, len(mean)) is not None
        named = _names_classes(metadata, dataset)
        output, answer = _answer(outputs, count, dataset.classes, named)
    except _NoAccuracyError as error:
        return Reading(compared, None, mean, std, dataset.classes, "no_accuracy", str(error))
    assumptions = [] if own else [_assumed_statistics(dataset)]
    assumptions += [] if named else [_assumed_classes(dataset)]
    assumptions += _assumed_data(metadata, dataset)
    status: Status = "assumed" if assumptions else "ok"
    return Reading(output, answer, mean, std, dataset.classes, status, "; ".join(assumptions) or None)


def _own(metadata: Mapping[str, str], channels: int) -> tuple[list[float], list[float]] | None:
    texts = {name: metadata[PREFIX + name] for name in ("mean", "std") if PREFIX + name in metadata}
    if not texts:
        return None
    if len(texts) == 1:
        raise _NoAccuracyError("its metadata have only one of fishbone.mean and fishbone.std")
    mean, std = (_numbers(text) for text in texts.values())
    if not (mean and std and len(mean) == len(std) == channels and min(std) > 0):
        shown = " and ".join(f"fishbone.{name} {text[:60]}" for name, text in texts.items())
        raise _NoAccuracyError(f"its metadata have {shown}, not {channels} numbers each, std above 0")
    return mean, std


def _numbers(text: str) -> list[float] | None:
    try:
        values = np.array(json.loads(text), dtype=np.float64)
    except (ValueError, TypeError, RecursionError):
        return None
    return [float(value) for value in values] if values.ndim == 1 and np.isfinite(values).all() else None


def _names_classes(metadata: Mapping[str, str], dataset: Dataset) -> bool:
    """Whether the file names its classes, which must be the data set's."""
    if PREFIX + "class_names" not in metadata:
        return False
    if value_of(metadata, "class_names") != list(dataset.class_names):
        raise _NoAccuracyError(f"its classes are not those of {dataset.name}, as its metadata name them")
    return True


def _assumed_data(metadata: Mapping[str, str], dataset: Dataset) -> list[str]:
    data = value_of(metadata, "data")
    if not isinstance(data, dict) or data.get("sha256") in (None, dataset.digest):
        return []
    return [f"its metadata name another data file than this {dataset.name}: it may have learnt these test images"]


def _assumed_statistics(dataset: Dataset) -> str:
    return f"accuracy assumes {dataset.name}'s mean and std, as the file has no fishbone.mean and fishbone.std"


def _assumed_classes(dataset: Dataset) -> str:
    return f"its outputs are taken for {dataset.name}'s classes in their order, as the file has no fishbone.class_names"


def _answer(outputs: Mapping[str, np.ndarray], count: int, classes: int, named: bool) -> tuple[str, str]:
    shapes = {name: tuple(side for side in found.shape[1:] if side != 1) for name, found in outputs.items()}
    scores = [name for name, shape in shapes.items() if shape == ((classes,) if classes > 1 else ())]
    scores = [name for name in scores if outputs[name].dtype.kind in "fiu"]
    labels = [name for name, shape in shapes.items() if not shape and outputs[name].dtype.kind in "iu"]
    others = [name for name, shape in shapes.items() if len(shape) == 1 and name not in scores]
    shown = ", ".join(f"{name} {list(found.shape)}" for name, found in outputs.items())
    if len(scores) == 1 and others and not named:
        raise _NoAccuracyError(f"without fishbone.class_names several outputs could be its classes' scores: {shown}")
    if len(scores) == 1:
        return scores[0], "scores"
    if scores:
        raise _NoAccuracyError(f"several outputs could be the scores of {classes} classes: {shown}")
    if len(labels) == 1 and not any(shapes.values()):
        found = outputs[labels[0]]
        if found.min() < 0 or found.max() >= classes:
            raise _NoAccuracyError(f"{labels[0]} is no number of one of {classes} classes")
        return labels[0], "label"
    raise _NoAccuracyError(f"no output holds the scores of {classes} classes for {count} inputs: {shown}")
