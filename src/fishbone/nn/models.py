"""Models as files: ``NAME.safetensors`` with the weights and ``NAME.json``, its sidecar.

The sidecar holds ``architecture`` ({"name", its arguments}), ``data`` ({"name", "sha256"}), ``parent``
(SHA-256 of the artefact that the weights came from, or null), ``mean`` and ``std`` of the inputs and
``class_names``. From the two files alone the network can be built and fed; nothing is unpickled.
"""

from pathlib import Path

from torch import Tensor, nn

from fishbone.data.dataset import Dataset
from fishbone.errors import InputError
from fishbone.files import read_json, read_tensors, write_json, write_tensors
from fishbone.nn.dcgan import Generator
from fishbone.nn.resnet import ResNet
from fishbone.nn.two_branch import TwoBranch
from fishbone.seeding import torch_seeded

ARCHITECTURES = {"resnet": ResNet, "two_branch": TwoBranch, "dcgan_generator": Generator}


def build(architecture: dict, seed: int = 0) -> nn.Module:
    """A freshly initialised network; the same seed gives the same weights.

    Args:
        architecture: ``{"name": one of ARCHITECTURES, **its keyword arguments}``.
    """
    arguments = dict(architecture)
    network = ARCHITECTURES[arguments.pop("name")]
    with torch_seeded(seed, "initial weights"):
        return network(**arguments)


def sidecar(architecture: dict, dataset: Dataset, parent: str | None = None) -> dict:
    """What goes beside the weights; see the module's docstring."""
    return {
        "architecture": architecture,
        "data": {"name": dataset.name, "sha256": dataset.digest},
        "parent": parent,
        "mean": dataset.mean.tolist(),
        "std": dataset.std.tolist(),
        "class_names": list(dataset.class_names),
    }


def save_model(path: str | Path, model: nn.Module, description: dict) -> None:
    """Write the weights and buffers to ``path`` and ``description`` to ``path`` with suffix .json."""
    write_tensors(path, model.state_dict())
    write_json(Path(path).with_suffix(".json"), description)


def load_model(path: str | Path) -> tuple[nn.Module, dict]:
    """(network in eval mode, sidecar).

    Raises:
        InputError: a file is missing or damaged, or weights and sidecar do not belong together.
    """
    path = Path(path)
    description = read_json(path.with_suffix(".json"))
    return restore(description["architecture"], read_tensors(path)[0], path), description


def restore(architecture: dict, tensors: dict[str, Tensor], file: Path) -> nn.Module:
    """The network with the weights and buffers ``tensors``, read from ``file``, in eval mode.

    Raises:
        InputError: they do not fit.
    """
    model = build(architecture)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        remedy = "Take weights and sidecar from the same run."
        raise InputError(f"weights do not fit {architecture}: {error}", file=file, remedy=remedy) from None
    return model.eval()
