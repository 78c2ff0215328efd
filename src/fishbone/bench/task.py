"""What an agent is told: models, procedure, inputs with the host's outputs, test images.

Everything goes into one folder, models too, and is named relative to it, so that the folder can be sent to a device as
it is. Any network with one image input (batch, C, H, W), fixed or free batch, will do.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fishbone.bench.procedure import Procedure
from fishbone.bench.reading import Reading
from fishbone.bench.reference import reference, subset
from fishbone.data.dataset import Dataset
from fishbone.errors import InputError
from fishbone.export.facts import read_onnx
from fishbone.export.origin import Origin, origin
from fishbone.export.processor import may_saturate
from fishbone.files import replacing, sha256, write_json, write_npz
from fishbone.sparse.nodes import UnsupportedGraphError
from fishbone.sparse.plan import RUNTIME, compile_plan


@dataclass(frozen=True)
class Task:
    """What one agent is told. ``file`` is what it reads; ``models`` its entries, ``baseline`` an index into them.

    An entry's ``runtime`` is onnxruntime or sparse, ``vectors`` the place of its ONNX file among those given, and
    ``refused`` why the sparse runtime cannot take it; the rest is its `Reading`. ``origins``: of the files given, which
    no agent needs.
    """

    file: Path
    procedure: Procedure
    models: list[dict[str, Any]]
    baseline: int
    origins: list[Origin]


def write_task(
    models: Sequence[Path],
    baseline: int,
    dataset: Dataset | None,
    procedure: Procedure,
    folder: Path,
    sparse: Sequence[int] = (),
) -> Task:
    """Write ``task.json`` and the arrays that it names into ``folder``.

    Args:
        models: ONNX files of any origin with one image input.
        baseline: the place among ``models`` of the one that the others are compared with.
        dataset: its validation images are inputs, its test images give accuracy; None: inputs are noise.
        procedure: how long and how often to measure.
        folder: an empty one; it can be sent to a device as it is.
        sparse: places of the models that the sparse runtime runs as well.

    Raises:
        InputError: a model is given twice, or does not take the data set's images.
    """
    names = unique_names(models)
    vectors: dict[str, np.ndarray] = {}
    readings = []
    for index, file in enumerate(models):
        found, reading = reference(file, dataset, procedure.seed)
        vectors |= {f"{index}.{key}": array for key, array in found.items()}
        readings.append(reading)
        _copy(file, folder / f"{index}.onnx")
    write_npz(folder / "vectors.npz", vectors)
    if dataset is not None:
        chosen = subset(dataset, "test", procedure.images, procedure.seed)
        write_npz(folder / "images.npz", {"images": dataset.images[chosen], "labels": dataset.labels[chosen]})
    entries = [
        _entry(name, folder / f"{index}.onnx", index, reading)
        for index, (name, reading) in enumerate(zip(names, readings, strict=True))
    ]
    entries += [_sparse_entry(entries[index], vectors, folder) for index in sparse]
    _copy(RUNTIME, folder / RUNTIME.name)
    task = asdict(procedure) | {"models": entries, "baseline": baseline, "vectors": "vectors.npz"}
    task |= {"images": dataset and "images.npz", "sparse_source": RUNTIME.name, "sparse_library": "sparse_runtime.so"}
    write_json(folder / "task.json", task)
    return Task(folder / "task.json", procedure, entries, baseline, [_origin(file) for file in models])


def _origin(file: Path) -> Origin:
    return origin({entry.key: entry.value for entry in read_onnx(file).metadata_props}, file.stem)


def _copy(file: Path, to: Path) -> None:
    with replacing(to) as temporary:
        shutil.copyfile(file, temporary)


def _entry(name: str, file: Path, index: int, reading: Reading) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "file": file.name, "sha256": sha256(file), "runtime": "onnxruntime"}
    found |= {"vectors": index, "refused": None, "may_saturate": may_saturate(read_onnx(file))}
    return found | asdict(reading)


def _sparse_entry(entry: dict[str, Any], vectors: dict[str, np.ndarray], folder: Path) -> dict[str, Any]:
    index, plan = entry["vectors"], folder / f"{entry['vectors']}.plan"
    found = entry | {"name": f"{entry['name']}:sparse", "runtime": "sparse", "file": plan.name}
    proto = read_onnx(folder / entry["file"])
    try:
        content = compile_plan(proto)
    except UnsupportedGraphError as error:
        return found | {"refused": f"not for the sparse runtime: {error}"}
    with replacing(plan) as temporary:
        temporary.write_bytes(content)
    return found | {"sha256": sha256(plan), "batch": len(vectors.get(f"{index}.feed", [0]))}


def unique_names(files: Sequence[Path]) -> list[str]:
    """Each file's stem, with as many parent folders before it as tell the files apart."""
    parts = [(*file.resolve().parent.parts[1:], file.stem) for file in files]
    if len(set(parts)) < len(parts):
        raise InputError("a model is given twice", field="MODELS", remedy="Name each file once.")
    depth = next(n for n in range(1, 10_000) if len({part[-n:] for part in parts}) == len(parts))
    return ["/".join(part[-depth:]) for part in parts]
