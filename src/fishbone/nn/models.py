"""Models as files: ``NAME.safetensors`` with the weights and ``NAME.json``, its sidecar."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fishbone.errors import InputError
from fishbone.files import read_tensors, write_tensors
from fishbone.nn.dcgan import Generator
from fishbone.nn.resnet import ResNet
from fishbone.nn.sidecar import Sidecar
from fishbone.nn.two_branch import TwoBranch
from fishbone.seeding import torch_seeded

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "resnet": ResNet,
    "two_branch": TwoBranch,
    "dcgan_generator": Generator,
}


def build(architecture: Mapping[str, Any], seed: int = 0) -> nn.Module:
    """A freshly initialised network.

    Args:
        architecture: ``{"name": one of ARCHITECTURES, **its keyword arguments}``.
        seed: decides the initial weights; the same seed gives the same weights.
    """
    arguments = dict(architecture)
    network = ARCHITECTURES[arguments.pop("name")]
    with torch_seeded(seed, "initial weights"):
        return network(**arguments)


def save_model(path: str | Path, model: nn.Module, sidecar: Sidecar) -> None:
    """Write the weights and buffers of ``model`` to ``path`` and ``sidecar`` to ``path`` with suffix .json."""
    write_tensors(path, model.state_dict())
    sidecar.write(Path(path).with_suffix(".json"))


def load_model(path: str | Path) -> tuple[nn.Module, Sidecar]:
    """The network in eval mode, and its sidecar.

    Args:
        path: the ``.safetensors`` that `save_model` wrote, with its ``.json`` beside it.

    Raises:
        InputError: a file is missing or damaged, or weights and sidecar do not belong together.
    """
    path = Path(path)
    sidecar = Sidecar.read(path.with_suffix(".json"))
    return restore(sidecar.architecture, read_tensors(path)[0], path), sidecar


def restore(architecture: Mapping[str, Any], tensors: Mapping[str, Tensor], file: Path) -> nn.Module:
    """The network with these weights and buffers, in eval mode.

    Args:
        architecture: as `build` takes it, from the sidecar of ``file``.
        tensors: the network's weights by name, read from ``file``.
        file: the weights, for the messages.

    Raises:
        InputError: there is no such network, or the weights do not fit it.
    """
    remedy = "Take weights and sidecar from the same run."
    try:
        model = build(architecture)
    except (KeyError, TypeError, ValueError) as error:
        problem = f"there is no such network ({type(error).__name__}: {error})"
        raise InputError(
            problem, file=file.with_suffix(".json"), field="architecture", value=dict(architecture), remedy=remedy
        ) from None
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"weights do not fit {architecture}: {error}", file=file, remedy=remedy) from None
    return model.eval()
