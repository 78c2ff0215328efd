"""Which network becomes which file: what the stage `export` is asked for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fishbone.errors import InputError
from fishbone.export.int8 import KINDS, SUFFIX, Int8Kind


@dataclass(frozen=True)
class Source:
    """A network: ``sparsity`` says which, where the file holds several; ``channels`` is the fraction to remove."""

    weights: Path
    sparsity: float | None = None
    channels: float | None = None


@dataclass(frozen=True)
class Variant:
    """``out``: the .onnx to write, with its facts as .json beside it; ``int8``: its kind, or None."""

    source: Source
    int8: Int8Kind | None
    out: Path


def named(name: str, dense: Path, networks: Mapping[str, Path], folder: Path) -> Variant:
    """``dense``, ``channels-FRACTION`` or ``METHOD-SPARSITY``, each also with ``-`` and a kind of int8.

    Args:
        dense: weights of the network that nothing was taken from.
        networks: by method, what `fishbone prune` made of it.

    Raises:
        InputError: no such name.
    """
    found = re.search(SUFFIX, name)
    int8, stem = (found[1], name[: found.start()]) if found else (None, name)
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
        remedy = f"Give {known}, also with {', '.join(f'-{kind}' for kind in KINDS)}; --networks makes a method known."
        raise InputError("no such network", field="VARIANT", value=name, remedy=remedy)
    return Variant(source, int8, folder / f"{name}.onnx")


def _fraction(text: str) -> float | None:
    try:
        return value if 0 < (value := float(text)) < 1 else None
    except ValueError:
        return None
