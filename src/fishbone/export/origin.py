"""Which network a file holds: dense or pruned, by which method and how far, in float32 or int8."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fishbone.export.int8 import Int8Kind, as_kind
from fishbone.export.metadata import PREFIX, value_of
from fishbone.export.names import parse_name

METHOD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Origin:
    """What made a network; None is "the file does not say".

    ``method`` is dense, channels or a pruning method. ``sparsity`` is what was to be removed of the weights (channels:
    of the channels), 0 of the dense network. ``int8`` is its kind of int8; None in float32, too.
    """

    method: str | None = None
    sparsity: float | None = None
    int8: Int8Kind | None = None


def origin(metadata: Mapping[str, str], name: str) -> Origin:
    """What a file's metadata say; a file from elsewhere says nothing.

    Args:
        metadata: all of the file's metadata.
        name: the file's name without its suffix. `fishbone prune` does not write its method into networks, so it is
            taken from here, if the fraction in the name is the one that the metadata have.

    Examples:
        >>> origin({"fishbone.parent": '"71a5"', "fishbone.parent_sparsity": "0.95"}, "fls-0.95")
        Origin(method='fls', sparsity=0.95, int8=None)
        >>> origin({}, "fls-0.95")
        Origin(method=None, sparsity=None, int8=None)
    """
    if PREFIX + "parent" not in metadata:
        return Origin()
    int8 = as_kind(value_of(metadata, "int8"))
    removed, channels = (_fraction(value_of(metadata, key)) for key in ("parent_sparsity", "channel_fraction"))
    if channels is not None:
        return Origin("channels", channels, int8)
    if removed is None:
        return Origin("dense", 0.0, int8)
    named, stated = parse_name(name), value_of(metadata, "method")
    if isinstance(stated, str) and METHOD.fullmatch(stated):
        return Origin(stated, removed, int8)
    return Origin(named.method if named.fraction == removed else None, removed, int8)


def _fraction(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 < value < 1 else None
