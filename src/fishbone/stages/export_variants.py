"""Which network becomes which file: what the stage `export` is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from fishbone.errors import InputError

Activations = Literal["u8s8", "s8s8", "u8s7"]
ACTIVATIONS = get_args(Activations)


@dataclass(frozen=True)
class Source:
    """A network: ``sparsity`` says which, where the file holds several; ``channels`` is the fraction to remove."""

    weights: Path
    sparsity: float | None = None
    channels: float | None = None


@dataclass(frozen=True)
class Variant:
    """``out``: the .onnx to write, with its facts as .json beside it; ``int8``: one of `ACTIVATIONS`, or None."""

    source: Source
    int8: Activations | None
    out: Path


def named(name: str, dense: Path, networks: Mapping[str, Path], folder: Path) -> Variant:
    """``dense``, ``channels-FRACTION`` or ``METHOD-SPARSITY``, each also with ``-`` and one of `ACTIVATIONS`.

    Args:
        dense: weights of the network that nothing was taken from.
        networks: by method, what `fishbone prune` made of it.

    Raises:
        InputError: no such name.
    """
    int8 = next((kind for kind in ACTIVATIONS if name.endswith(f"-{kind}")), None)
    stem = name.removesuffix(f"-{int8}")
    kind, _, number = stem.rpartition("-")
    fraction = _fraction(number)
    if stem == "dense":
        source = Source(dense)
    elif fraction and kind == "channels":
        source = Source(dense, channels=fraction)
    elif fraction and kind in networks:
        source = Source(networks[kind], sparsity=fraction)
    else:
        known = ", ".join(["dense", "channels-FRACTION", *(f"{method}-SPARSITY" for method in networks)])
        remedy = f"Give {known}, also with -u8s8, -s8s8 or -u8s7; --networks makes a method known."
        raise InputError("no such network", field="VARIANT", value=name, remedy=remedy)
    return Variant(source, int8, folder / f"{name}.onnx")


def _fraction(text: str) -> float | None:
    try:
        return value if 0 < (value := float(text)) < 1 else None
    except ValueError:
        return None
