"""What an agent is told: models, procedure, inputs with the host's outputs, test images.

The host computes reference outputs with ONNX Runtime's optimiser switched off, so that parity on the device checks
its optimiser and kernels; that the file itself equals PyTorch is the export's gate. Inputs are validation images and a
blank one where there is a data set, seeded noise otherwise. Everything goes into one folder, models too, and is named
relative to it, so that the folder can be sent to a device as it is. Any network with one image input (batch, C, H,
W), fixed or free batch, will do.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from fishbone.bench.agent import DTYPES, prepare
from fishbone.bench.procedure import Procedure
from fishbone.bench.reading import Reading, read, statistics
from fishbone.data.dataset import Dataset
from fishbone.data.splits import stratified_subset
from fishbone.errors import InputError
from fishbone.export.facts import read_onnx
from fishbone.export.origin import Origin, origin
from fishbone.export.processor import may_saturate
from fishbone.files import replacing, sha256, write_json, write_npz
from fishbone.seeding import numpy_generator
from fishbone.sparse.nodes import UnsupportedGraphError
from fishbone.sparse.plan import RUNTIME, compile_plan

VECTORS = 32


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
        models: ONNX files.
        baseline: the place among ``models`` of the one that the others are compared with.
        dataset: its validation images are inputs, its test images give accuracy; None: inputs are noise.
        procedure: how to measure.
        folder: an empty one; it can be sent to a device as it is.
        sparse: places of the models that the sparse runtime runs as well.

    Raises:
        InputError: a model is given twice, or does not take the data set's images.
    """
    names = unique_names(models)
    vectors: dict[str, np.ndarray] = {}
    readings = []
    for index, file in enumerate(models):
        found, reading = _vectors(file, dataset, procedure.seed)
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


def subset(dataset: Dataset, split: str, count: int, seed: int) -> np.ndarray:
    """Indices of at most ``count`` images of a split, of each class its share: the same for all models and devices."""
    members = getattr(dataset, split)
    generator = numpy_generator(seed, "bench images", split)
    chosen: np.ndarray = members[stratified_subset(dataset.labels[members], count, generator)]
    return chosen


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


def _vectors(file: Path, dataset: Dataset | None, seed: int) -> tuple[dict[str, np.ndarray], Reading]:
    """(``inputs`` (N, …), the host's ``outputs`` and the ``feed`` of one run, how to read the file).

    Nothing where the host cannot run it: such a model is left to the device, which reports why.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception:
        return {}, Reading()
    inputs = _inputs(file, session, dataset, seed)
    source = session.get_inputs()[0]
    size = source.shape[0] if isinstance(source.shape[0], int) else 1
    inputs = inputs[: max(size, len(inputs) // size * size)]
    inputs = np.resize(inputs, (max(size, len(inputs)), *inputs.shape[1:]))
    batches = [inputs[start : start + size] for start in range(0, len(inputs), size)]
    try:
        outputs = _outputs(session, batches)
    except Exception:
        return {}, Reading()
    reading = read(_metadata(session), outputs, len(inputs), inputs.dtype == np.uint8, dataset)
    assert reading.output is not None  # there are outputs
    compared = outputs[reading.output]
    compared = compared if compared.dtype.kind == "f" else compared.astype(np.int32)  # as browsers know it
    return {"inputs": inputs, "outputs": compared, "feed": batches[0]}, reading


def _outputs(session: ort.InferenceSession, batches: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Name → (N, …), of the outputs that are numbers by input.

    Raises:
        ValueError: there is none.
    """
    name = session.get_inputs()[0].name
    runs = zip(*(session.run(None, {name: batch}) for batch in batches), strict=True)
    found = {}
    for output, parts in zip(session.get_outputs(), runs, strict=True):
        whole = all(isinstance(part, np.ndarray) and part.dtype.kind in "fiu" and part.ndim for part in parts)
        if whole and all(len(part) == len(batch) for part, batch in zip(parts, batches, strict=True)):
            found[output.name] = np.concatenate(parts)
    if not found:
        raise ValueError("no output has numbers for each input")
    return found


def _metadata(session: ort.InferenceSession) -> dict[str, str]:
    found: dict[str, str] = session.get_modelmeta().custom_metadata_map
    return found


def _inputs(file: Path, session: ort.InferenceSession, dataset: Dataset | None, seed: int) -> np.ndarray:
    """(VECTORS, C, H, W) in the type that the graph takes."""
    source = session.get_inputs()[0]
    dtype = DTYPES.get(source.type)
    if len(session.get_inputs()) != 1 or dtype is None or len(source.shape) < 2:
        found = [(entry.name, entry.type, entry.shape) for entry in session.get_inputs()]
        remedy = f"It must take one array of images as {', '.join(DTYPES)}."
        raise InputError("takes other inputs than a batch of images", file=file, value=found, remedy=remedy)
    shape = source.shape[1:]
    if dataset is not None:
        return _images(file, session, dataset, seed)
    if not all(isinstance(side, int) for side in shape):
        tool = "python -m onnxruntime.tools.make_dynamic_shape_fixed"
        raise InputError(
            "input has free sides", file=file, value=shape, remedy=f"Fix them with {tool}, or give --data."
        )
    generator = numpy_generator(seed, "bench inputs")
    if dtype is np.uint8:
        return generator.integers(256, size=(VECTORS, *shape), dtype=np.uint8)
    return generator.standard_normal((VECTORS, *shape)).astype(dtype)


def _images(file: Path, session: ort.InferenceSession, dataset: Dataset, seed: int) -> np.ndarray:
    shape, dtype = session.get_inputs()[0].shape[1:], DTYPES[session.get_inputs()[0].type]
    matches = len(shape) == 3 and all(
        a == b or not isinstance(a, int) for a, b in zip(shape, dataset.shape, strict=True)
    )
    if not matches:
        remedy = f"{dataset.name} has (channels, height, width) {dataset.shape}; leave out --data to time it on noise."
        raise InputError("takes images of another shape", file=file, value=shape, remedy=remedy)
    images = dataset.images[subset(dataset, "validation", VECTORS - 1, seed)]
    images = np.concatenate([images, np.zeros_like(images[:1])])
    return prepare(images, *statistics(_metadata(session), dataset), dtype)
