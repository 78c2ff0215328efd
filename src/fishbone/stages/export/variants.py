"""Which network becomes which file: what the stage `export` is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fishbone.errors import InputError
from fishbone.export.int8 import KINDS, Int8Kind
from fishbone.export.names import check_file, parse_name


@dataclass(frozen=True)
class Source:
    """A network: ``sparsity`` says which, where the file holds several; ``channels`` is the fraction to remove."""

    weights: Path
    sparsity: float | None = None
    channels: float | None = None


@dataclass(frozen=True)
class Variant:
    """One file to make. ``out``: the .onnx to write, with its facts as .json beside it; ``int8``: its kind, or None."""

    source: Source
    int8: Int8Kind | None
    out: Path


def named(name: str, dense: Path, networks: Mapping[str, Path], folder: Path) -> Variant:
    """Find what a variant's name means.

    Args:
        name: ``dense``, ``channels-FRACTION`` or ``METHOD-SPARSITY``, each also with ``-`` and a kind of int8.
        dense: weights of the network that nothing was taken from.
        networks: by method, what `fishbone prune` made of it.
        folder: where the variant's files go.

    Raises:
        InputError: no such name.
    """
    method, fraction, int8 = parse_name(name)
    if method == "dense" and fraction is None:
        source = Source(dense)
    elif fraction and method == "channels":
        source = Source(dense, channels=fraction)
    elif fraction and method in networks:
        source = Source(networks[method], sparsity=fraction)
    else:
        known = ", ".join(["dense", "channels-FRACTION", *(f"{method}-SPARSITY" for method in networks)])
        remedy = f"Give {known}, also with {', '.join(f'-{kind}' for kind in KINDS)}; --networks makes a method known."
        raise InputError("no such network", field="VARIANT", value=name, remedy=remedy)
    return Variant(source, int8, folder / f"{name}.onnx")


def single(weights: Path, sparsity: float | None, channels: float | None, int8: Int8Kind | None, out: Path) -> Variant:
    """One network by hand.

    Args:
        weights: the file that holds it.
        sparsity: which network, where the file holds several.
        channels: fraction of channels to remove; None: none.
        int8: kind of int8; None: float32.
        out: the ``.onnx`` to write.

    Raises:
        InputError: ``out`` has another suffix.
    """
    return Variant(Source(weights, sparsity, channels), int8, check_file(out, field="--out"))
