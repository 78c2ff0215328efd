"""Names of exported networks, which are their files' names: ``METHOD[-FRACTION][-INT8]``.

``METHOD`` is dense, channels or a pruning method; ``FRACTION`` what was removed of the weights (channels: of the
channels). This is the one place that puts such names together and takes them apart.
"""

import re
from pathlib import Path
from typing import NamedTuple

from fishbone.errors import InputError
from fishbone.export.int8 import KINDS, Int8Kind, as_kind

_FORM = re.compile(rf"(?P<method>.+?)(?:-(?P<fraction>0?\.\d+))?(?:-(?P<int8>{'|'.join(KINDS)}))?")


class NetworkName(NamedTuple):
    """A name's parts; ``fraction`` and ``int8`` are None where the name has none."""

    method: str
    fraction: float | None = None
    int8: Int8Kind | None = None

    def __str__(self) -> str:
        """The parts put together.

        >>> str(NetworkName("fls", 0.95, "u8s8")), str(NetworkName("dense"))
        ('fls-0.95-u8s8', 'dense')
        """
        return "-".join(str(part) for part in self if part is not None)


def parse_name(name: str) -> NetworkName:
    """Take a name apart; a name of another form is all method.

    Examples:
        >>> parse_name("fls-0.95-u8s8")
        NetworkName(method='fls', fraction=0.95, int8='u8s8')
        >>> parse_name("obs-first-order-0.8")
        NetworkName(method='obs-first-order', fraction=0.8, int8=None)
        >>> parse_name("resnet-18")
        NetworkName(method='resnet-18', fraction=None, int8=None)
    """
    found = _FORM.fullmatch(name)
    if found is None:
        return NetworkName(name)
    method, fraction, int8 = found.group("method", "fraction", "int8")
    return NetworkName(method, float(fraction) if fraction else None, as_kind(int8))


def check_file(path: Path, *, field: str) -> Path:
    """The path as it is.

    Args:
        path: where an ONNX file is to go.
        field: the option or argument that gave it, for the message.

    Raises:
        InputError: its name does not end in .onnx.
    """
    if path.suffix != ".onnx":
        raise InputError("not an .onnx file", field=field, value=str(path), remedy="Let its name end in .onnx.")
    return path
