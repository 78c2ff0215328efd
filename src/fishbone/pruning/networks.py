"""A network at several sparsities as one artefact: ``NAME.safetensors`` with weights and masks and ``NAME.json``.

Tensors are called ``SPARSITY/weights/PARAMETER`` and ``SPARSITY/mask/PARAMETER`` (bool, True: kept), and one sparsity
is read without the others. There is one `fishbone.nn.sidecar.Sidecar` for all of them, which lists the ``sparsities``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from fishbone.errors import InputError
from fishbone.files import read_tensors, write_tensors
from fishbone.nn.models import restore
from fishbone.nn.sidecar import Sidecar


@dataclass(frozen=True)
class Network:
    """A network and which of its weights are left.

    Attributes:
        model: the network with the weights that pruning left.
        masks: by name of the weight, in its shape, True for weights that are left; empty if nothing was pruned.
    """

    model: nn.Module
    masks: Mapping[str, Tensor]


def save_networks(path: Path, networks: Mapping[float, Network], sidecar: Sidecar) -> None:
    """Write several networks to ``path``, and their sidecar to ``path`` with suffix .json.

    Args:
        path: where weights and masks are written, as safetensors.
        networks: the networks by their sparsity, all of one architecture.
        sidecar: what describes any of them.
    """
    tensors: dict[str, Tensor] = {}
    for sparsity, network in networks.items():
        tensors |= {f"{sparsity}/weights/{name}": value for name, value in network.model.state_dict().items()}
        tensors |= {f"{sparsity}/mask/{name}": mask for name, mask in network.masks.items()}
    write_tensors(path, tensors)
    sidecar.model_copy(update={"sparsities": tuple(networks)}).write(path.with_suffix(".json"))


def load_network(path: Path, sparsity: float | None = None) -> tuple[Network, Sidecar]:
    """Read one network of a file, in eval mode, and the sidecar of it alone: without ``sparsities``.

    Args:
        path: what `save_networks` or `fishbone.nn.models.save_model` wrote.
        sparsity: of the network; None where the file holds one.

    Raises:
        InputError: a file is missing or damaged, weights and sidecar do not belong together, or there is no such
            sparsity; names those that there are.
    """
    sidecar = Sidecar.read(path.with_suffix(".json"))
    known, alone = sidecar.sparsities, sidecar.model_copy(update={"sparsities": None})
    if sparsity is None and known is None:
        return Network(restore(sidecar.architecture, read_tensors(path)[0], path), {}), alone
    if known is None:
        problem, remedy = "the file holds one network", "Leave it out."
        raise InputError(problem, file=path, field="--sparsity", value=sparsity, remedy=remedy)
    if sparsity not in known:
        problem, remedy = "none of the networks in the file", f"Give one of {', '.join(map(str, known))}."
        raise InputError(problem, file=path, field="--sparsity", value=sparsity, remedy=remedy)
    weights, masks = (read_tensors(path, f"{sparsity}/{kind}/")[0] for kind in ("weights", "mask"))
    return Network(restore(sidecar.architecture, weights, path), masks), alone
