"""What a device's outputs are compared with: inputs, and what the host computes of them.

The host computes with ONNX Runtime's optimiser switched off, so that parity on the device checks its optimiser and
kernels; that the file itself equals PyTorch is the export's gate. Inputs are validation images and a blank one where
there is a data set, seeded noise otherwise.
"""

from pathlib import Path

import numpy as np
import onnxruntime as ort

from fishbone.bench.agent import DTYPES, prepare
from fishbone.bench.reading import Reading, read, statistics
from fishbone.data.dataset import Dataset
from fishbone.data.splits import stratified_subset
from fishbone.errors import ArgumentError, InputError
from fishbone.seeding import numpy_generator

VECTORS = 32


def subset(dataset: Dataset, split: str, count: int, seed: int) -> np.ndarray:
    """Indices of at most ``count`` images of a split, of each class its share: the same for all models and devices."""
    members = getattr(dataset, split)
    generator = numpy_generator(seed, "bench images", split)
    chosen: np.ndarray = members[stratified_subset(dataset.labels[members], count, generator)]
    return chosen


def reference(file: Path, dataset: Dataset | None, seed: int) -> tuple[dict[str, np.ndarray], Reading]:
    """Inputs of a file with the host's outputs, and how to read it.

    Args:
        file: the ONNX file that is to be run.
        dataset: where inputs come from; None: they are noise.
        seed: decides which images, or the noise.

    Returns:
        (``inputs`` (N, …), the host's ``outputs`` and the ``feed`` of one run; the reading). Nothing where the host
        cannot run it: such a model is left to the device, which reports why.
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
        ArgumentError: there is none.
    """
    name = session.get_inputs()[0].name
    runs = zip(*(session.run(None, {name: batch}) for batch in batches), strict=True)
    found = {}
    for output, parts in zip(session.get_outputs(), runs, strict=True):
        whole = all(isinstance(part, np.ndarray) and part.dtype.kind in "fiu" and part.ndim for part in parts)
        if whole and all(len(part) == len(batch) for part, batch in zip(parts, batches, strict=True)):
            found[output.name] = np.concatenate(parts)
    if not found:
        raise ArgumentError("no output has numbers for each input")
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
