"""What people read in place of the names of methods and networks.

An exported network's name says what it is (`fishbone.export.names`). A benchmark's row says so in its fields; a file
that does not say where it comes from is called by its name alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fishbone.export.names import NetworkName
from fishbone.federated.names import mix
from fishbone.report.methods import METHODS


@dataclass(frozen=True)
class Named:
    """A cell of a table: in CSV the ``name`` that results have, for people the ``label``."""

    name: str
    label: str


def method_label(method: str) -> str:
    """The label in the table of methods, or the name of a method that is not there.

    >>> method_label("fls"), method_label("hovefl-9-9"), method_label("mine")
    ('FLS', 'HoVeFL 9 H + 9 V', 'mine')
    """
    if method in METHODS:
        return METHODS[method].label
    members = mix(method)
    return f"HoVeFL {members[0]} H + {members[1]} V" if members else method


def network_label(network: NetworkName, *, sparse: bool = False) -> str:
    """An exported network for people.

    Args:
        network: its method, what was removed, and its kind of int8.
        sparse: whether the sparse runtime ran it.

    >>> network_label(NetworkName("fls", 0.95, "u8s8")), network_label(NetworkName("dense"), sparse=True)
    ('FLS 95 %, int8 U8S8', 'dense, sparse runtime')
    """
    text = " ".join(part for part in (method_label(network.method), percent(network)) if part)
    text += f", int8 {network.int8.upper()}" if network.int8 else ""
    return text + (", sparse runtime" if sparse else "")


def percent(network: NetworkName) -> str:
    """What was removed of a network, for people; empty where that is nothing, or not known."""
    return f"{100 * network.fraction:g} %" if network.fraction else ""


def benched(row: Mapping[str, Any]) -> NetworkName:
    """The network of a benchmark's row (`fishbone.bench.results.ModelResult` as a dictionary), as its fields have it.

    A file that does not say how it was made is a method of its own, the same in all runtimes.
    """
    if row["method"] is None:
        return NetworkName(row["name"].removesuffix(f":{row['runtime']}"))
    return NetworkName(row["method"], row["sparsity"], row["int8"])


def in_sparse_runtime(row: Mapping[str, Any]) -> bool:
    """Whether it was the sparse runtime that ran the network of a benchmark's row."""
    return row["runtime"] == "sparse"


def row_label(row: Mapping[str, Any]) -> str:
    """A benchmark's row for people."""
    return network_label(benched(row), sparse=in_sparse_runtime(row))
