"""What the names of methods and exported networks say; nothing else in a report takes a name apart.

An exported network is called ``METHOD-SPARSITY``, ``channels-FRACTION`` or ``dense``, in int8 with a kind behind it
(``fls-0.95-u8s8``), and in a benchmark with ``:sparse`` where the sparse runtime ran it. A federation of H horizontal
devices and V vertical groups is ``hovefl-H-V``. Other files and methods are called as somebody likes.
"""

import re
from dataclasses import dataclass

from fishbone.export.int8 import KINDS
from fishbone.report.methods import LOOKS, METHODS

NETWORK = re.compile(
    rf"(?P<method>.+?)(-(?P<share>0?\.\d+))?(-(?P<int8>{'|'.join(KINDS)}))?(?P<sparse>:sparse)?", re.DOTALL
)
MIX = re.compile(r"hovefl-(\d+)-(\d+)")


@dataclass(frozen=True)
class Network:
    """An exported network by its name.

    Attributes:
        method: how it was made; the whole name if that says nothing else.
        share: sparsity, or fraction of channels removed.
        int8: the kind of 8-bit numbers, such as ``u8s8``; None: floats.
        sparse: whether the sparse runtime ran it.
    """

    method: str
    share: float | None = None
    int8: str | None = None
    sparse: bool = False

    @property
    def percent(self) -> str:
        """The share for people."""
        return "" if self.share is None else f"{100 * self.share:g} %"


def network(name: str) -> Network:
    """Take the name of an exported network, or of a method, apart."""
    if not (found := NETWORK.fullmatch(name)):
        return Network(name)
    share = found["share"]
    return Network(found["method"], None if share is None else float(share), found["int8"], bool(found["sparse"]))


def mix(method: str) -> tuple[int, int] | None:
    """Return (horizontal devices, vertical groups) of a ``hovefl-H-V``; None of another method."""
    found = MIX.fullmatch(method)
    return (int(found[1]), int(found[2])) if found else None


def label(name: str) -> str:
    """Name a method or network for people: ``hovefl-9-9`` is HoVeFL 9 H + 9 V, ``fls-0.95`` is FLS 95 %."""
    found = network(name)
    text = " ".join(part for part in (_method(found.method), found.percent) if part)
    text += f", int8 {found.int8.upper()}" if found.int8 else ""
    return text + (", sparse runtime" if found.sparse else "")


def _method(name: str) -> str:
    if name in METHODS:
        return METHODS[name].label
    members = mix(name)
    return f"HoVeFL {members[0]} H + {members[1]} V" if members else name


def order(name: str) -> tuple[int, str]:
    """Key that sorts methods and networks: as in the table of methods, then names without a look of their own."""
    method = network(name).method
    return list(LOOKS).index(method) if method in LOOKS else len(LOOKS), name
