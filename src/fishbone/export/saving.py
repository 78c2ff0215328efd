"""A network → ``NAME.onnx``, checked, and its facts as ``NAME.json`` beside it."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from torch import nn

from fishbone.errors import InputError
from fishbone.export.checked import Exported, checked_export
from fishbone.export.names import check_file
from fishbone.files import replacing, write_json

OPSET = 18


def save_onnx(
    network: nn.Module,
    path: str | Path,
    images: np.ndarray,
    *,
    opset: int = OPSET,
    threads: int = 1,
    provenance: Mapping[str, object] | None = None,
) -> Exported:
    """Export a network to ONNX, check the file and write it with its facts; nothing is written if a check fails.

    Args:
        network: in eval mode, with masks made permanent; takes one array of images (N, C, H, W).
        path: the ``.onnx`` to write; ``.json`` goes beside it.
        images: (N, C, H, W) float32, normalised as the network takes them. PyTorch and ONNX Runtime must agree on them.
        opset: ONNX operator set, 18 to 23.
        threads: of ONNX Runtime when outputs are compared.
        provenance: what the file's metadata should say, as values that JSON can hold. With ``mean``, ``std`` and
            ``class_names`` a benchmark on a data set assumes nothing.

    Returns:
        The file's content, facts and parity.

    Raises:
        InputError: ``path`` is not called ``.onnx``, or the network is not in eval mode.
        GateError: the file is not what it has to be; see `fishbone.export.gates`.
    """
    path = check_file(Path(path), field="path")
    if network.training:
        raise InputError("the network is in training mode", field="network", remedy="Call network.eval() first.")
    images = np.ascontiguousarray(images, np.float32)
    exported = checked_export(network, images, opset=opset, threads=threads, provenance=provenance or {})
    save(exported, path)
    return exported


def facts_beside(path: Path) -> Path:
    """Where the facts of an exported file lie."""
    return path.with_suffix(".json")


def save(exported: Exported, path: Path) -> None:
    """Write an exported file and its facts.

    Args:
        exported: what passed the gates.
        path: the ``.onnx`` to write; ``.json`` goes beside it.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(exported.content)
    written = {
        "facts": exported.facts.model_dump(),
        "parity": asdict(exported.parity),
        "provenance": exported.provenance,
    }
    write_json(facts_beside(path), written | ({"int8": asdict(exported.int8)} if exported.int8 else {}))
