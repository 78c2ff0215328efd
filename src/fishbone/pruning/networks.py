"""A network at several sparsities as one artefact: ``NAME.safetensors`` with weights and masks and ``NAME.json``.

Tensors are called ``SPARSITY/weights/PARAMETER`` and ``SPARSITY/mask/PARAMETER`` (bool, True: kept), and one sparsity
is read without the others. The sidecar is that of `fishbone.nn.models`, once for all of them, with ``sparsities``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fishbone.errors import InputError
from fishbone.files import read_json, read_tensors, write_json, write_tensors
from fishbone.nn.models import restore


@dataclass(frozen=True)
class Network:
    """A network and which of its weights are left.

    Attributes:
        model: the network.
        masks: by name of the weight, in its shape, True for weights that are left; empty if nothing was pruned.
    """

    model: nn.Module
    masks: Mapping[str, Tensor]


def save_networks(path: Path, networks: Mapping[float, Network], description: dict[str, Any]) -> None:
    """Write ``networks``, by sparsity, to ``path``, and ``description`` to ``path`` with suffix .json."""
    tensors: dict[str, Tensor] = {}
    for sparsity, network in networks.items():
        tensors |= {f"{sparsity}/weights/{name}": value for name, value in network.model.state_dict().items()}
        tensors |= {f"{sparsity}/mask/{name}": mask for name, mask in network.masks.items()}
    write_tensors(path, tensors)
    write_json(path.with_suffix(".json"), description | {"sparsities": list(networks)})


def load_network(path: Path, sparsity: float | None = None) -> tuple[Network, dict[str, Any]]:
    """Read one network of a file, in eval mode, and its sidecar without ``sparsities``.

    Args:
        path: the .safetensors file, with its sidecar beside it.
        sparsity: which network; None: that of a file that holds one.

    Raises:
        InputError: a file is missing or damaged, weights and sidecar do not belong together, or there is no such
            sparsity; names those that there are.
    """
    description = read_json(path.with_suffix(".json"))
    known = description.pop("sparsities", None)
    if sparsity is None and known is None:
        return Network(restore(description["architecture"], read_tensors(path)[0], path), {}), description
    if known is None:
        problem, remedy = "the file holds one network", "Leave it out."
        raise InputError(problem, file=path, field="--sparsity", value=sparsity, remedy=remedy)
    if sparsity not in known:
        problem, remedy = "none of the networks in the file", f"Give one of {', '.join(map(str, known))}."
        raise InputError(problem, file=path, field="--sparsity", value=sparsity, remedy=remedy)
    weights, masks = (read_tensors(path, f"{sparsity}/{kind}/")[0] for kind in ("weights", "mask"))
    return Network(restore(description["architecture"], weights, path), masks), description
