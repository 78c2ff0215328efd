"""Export with every gate: bytes that passed them all, or an error and nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from torch import Tensor, nn

from fishbone.data.dataset import Dataset
from fishbone.data.splits import stratified_subset
from fishbone.errors import InputError
from fishbone.export import gates
from fishbone.export.facts import count_weights, facts
from fishbone.export.from_torch import to_bytes, to_onnx, with_metadata
from fishbone.export.parity import Parity
from fishbone.export.quantise import Int8Cost, int8_cost, quantise
from fishbone.export.schema import FileFacts
from fishbone.seeding import numpy_generator


@dataclass(frozen=True)
class Exported:
    """The file's content, what it is, how close it is to PyTorch, and what its metadata say.

    ``int8``: what quantising cost, of a quantised file; its ``parity`` is that of the file before.
    """

    content: bytes
    facts: FileFacts
    parity: Parity
    provenance: dict[str, Any]
    int8: Int8Cost | None = None


def checked_export(
    network: nn.Module, images: np.ndarray, *, opset: int, threads: int, provenance: Mapping[str, object]
) -> Exported:
    """Export a network and check the result.

    Args:
        network: in eval mode, with masks made permanent.
        opset: the ONNX operator set that the file must have.
        threads: how many threads ONNX Runtime computes with.
        images: (N, C, H, W) float32, normalised; outputs are compared on them.
        provenance: JSON values that go into the file's metadata, with ``nonzero``, ``sparsity`` and
            ``parity_max_abs`` (one digit, so that a last bit changes no hash) as measured here.

    Raises:
        GateError: a check failed.
    """
    proto = to_onnx(network, images.shape[1:], opset)
    gates.check_interface(proto, opset)
    gates.check_folded(proto)
    gates.check_zeros(proto, not_zero(network))
    gates.check_size(proto, network)
    parity = gates.check_parity(proto, network, images, threads)
    weights, nonzero = count_weights(proto)
    measured = {
        "nonzero": nonzero,
        "sparsity": 1 - nonzero / weights if weights and nonzero is not None else None,
        "parity_max_abs": float(f"{parity.max_abs:.0e}"),
    }
    provenance = {**provenance, **measured}
    proto = with_metadata(proto, provenance)
    gates.check_no_paths(proto)
    content = to_bytes(proto)
    return Exported(content, facts(proto, content), parity, provenance)


def checked_int8(
    exported: Exported, dataset: Dataset, *, activations: str, calibration_images: int, threads: int
) -> Exported:
    """An exported file in int8, calibrated on training images and judged on the test split, image by image.

    Raises:
        GateError: a zero was lost, a layer was not quantised, or a path is left in the file.
    """
    before = onnx.load_model_from_string(exported.content)
    calibration = some_images(dataset, "train", calibration_images, "calibration")
    proto = quantise(before, calibration, activations)
    gates.check_quantised(proto, before)
    images, labels = dataset.normalise(dataset.images[dataset.test]), dataset.labels[dataset.test]
    cost = int8_cost(before, proto, images, labels, threads)
    provenance = exported.provenance | {"int8": activations, "calibration_images": len(calibration)}
    proto = with_metadata(proto, provenance)
    gates.check_no_paths(proto)
    content = to_bytes(proto)
    return Exported(content, facts(proto, content), exported.parity, provenance, cost)


def some_images(dataset: Dataset, split: str, count: int, purpose: str) -> np.ndarray:
    """Some images of a split, of each class its share.

    Args:
        dataset: where they come from.
        split: train, validation or test.
        count: how many; all if there are no more.
        purpose: decides which; the same purpose gives the same images.

    Returns:
        (N, C, H, W) float32, normalised.
    """
    members = getattr(dataset, split)
    chosen = stratified_subset(dataset.labels[members], count, numpy_generator(0, purpose))
    return dataset.normalise(dataset.images[members[chosen]])


def not_zero(network: nn.Module) -> dict[str, np.ndarray]:
    """Parameter's name → where it is not zero, for kernels (two dimensions or more)."""
    return {name: (value != 0).numpy() for name, value in network.named_parameters() if value.ndim >= 2}


def check_masks(network: nn.Module, masks: Mapping[str, Tensor], file: Path) -> None:
    """Check that weights are zero wherever their masks are.

    Args:
        network: the network whose weights are looked at.
        masks: by name of the weight, True for weights that are left.
        file: where the masks were read, for the message.

    Raises:
        InputError: a mask fits no parameter, or hides a weight that is not zero.
    """
    parameters = dict(network.named_parameters())
    remedy = "Take weights and masks from the same run."
    for name, mask in masks.items():
        if name not in parameters or parameters[name].shape != mask.shape:
            raise InputError("fits no parameter of the network", file=file, field=name, remedy=remedy)
        if (revived := int(((parameters[name] != 0) & (mask == 0)).sum())) > 0:
            raise InputError("hides weights that are not zero", file=file, field=name, value=revived, remedy=remedy)
