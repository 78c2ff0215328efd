"""How a study's data and networks differ from a paper's, as parts of a sentence."""

from collections.abc import Mapping
from typing import Any

from fishbone.nn.sidecar import Sidecar
from fishbone.report.study import ResultFile, Study

SOURCES = {"CIFAR-10": "cifar10", "SVHN": "svhn", "TinyImageNet": "tiny-imagenet", "MNIST": "mnist"}


def data_setting(study: Study, dataset: str, published: tuple[str, ...]) -> str:
    """The data set, and the paper's where it is none of those.

    Args:
        study: all results of the study.
        dataset: name of the data set.
        published: the paper's data sets, as keys of `SOURCES` where they are there.
    """
    prepared = study.of("prepare", dataset)
    source = prepared[0].content["source"] if prepared else dataset
    size = f" ({prepared[0].content['counts']['train']:,} training images)" if prepared else ""
    same = source in [SOURCES.get(name) for name in published]
    return f"{dataset}{size}" + (", as in the paper" if same else f" instead of {' or '.join(published)}")


def network_setting(result: ResultFile, sidecar: str, published: str) -> str:
    """The network of a result, and the paper's where it is another.

    Args:
        result: of a run that wrote a network.
        sidecar: name of the network's sidecar beside it.
        published: the network that the paper tells of.

    Raises:
        InputError: the sidecar is missing or none.
    """
    name = network_name(Sidecar.read(result.beside(sidecar)).architecture)
    return f"{name}, as in the paper" if name == published else f"{name} instead of {published}"


def network_name(architecture: Mapping[str, Any]) -> str:
    """A network for people; ResNet18 of the usual width 64 is just that.

    Args:
        architecture: as a sidecar has it: its ``name`` and its arguments.
    """
    match architecture["name"]:
        case "resnet" if (architecture["depth"], architecture["width"]) == (18, 64):
            return "ResNet18"
        case "resnet":
            return f"ResNet{architecture['depth']} of width {architecture['width']}"
        case "two_branch":
            return f"{architecture['parties']}-branch network (embedding {architecture['embedding']})"
        case "dcgan_generator":
            return f"DCGAN of width {architecture['width']}"
        case other:
            return other
