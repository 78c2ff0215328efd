"""Partitions of samples over devices: IID, label shards, Dirichlet label skew, quantity skew.

A partition takes labels (N,) and gives one sorted int64 array of positions in them per device: disjoint, none
empty. ``iid`` and ``shards`` give every device the same number and leave out the remainder, as HoVeFL's code does;
``dirichlet`` and ``quantity`` place every sample. Vertical cuts, by columns of the
image and not by samples, are `fishbone.nn.two_branch.columns`.
"""

import numpy as np

from fishbone.errors import InputError

REDRAWS = 100


def partition(spec: str, labels: np.ndarray, devices: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Partition by name: ``iid``, ``shards-2`` (per device), ``dirichlet-0.5`` or ``quantity-0.5`` (concentration).

    Args:
        spec: the partition's name and number; it matches `fishbone.data.names.PARTITION`.
        labels: (N,) class of each sample.
        devices: number of devices; 0 gives an empty list.
        generator: source of all draws; the same state gives the same partition.

    Examples:
        >>> labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
        >>> parts = partition("shards-1", labels, 2, np.random.default_rng(0))
        >>> [labels[part].tolist() for part in parts]
        [[0, 0, 0, 0], [1, 1, 1, 1]]

    Raises:
        InputError: some device would stay empty.
    """
    if devices == 0:
        return []
    kind, _, number = spec.partition("-")
    match kind:
        case "iid":
            return iid(len(labels), devices, generator)
        case "shards":
            return shards(labels, devices, int(number), generator)
        case "dirichlet":
            return dirichlet(labels, devices, float(number), generator)
        case _:
            return quantity(len(labels), devices, float(number), generator)


def iid(count: int, devices: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Equal random parts of ``count`` samples; ``count mod devices`` of them are left out."""
    _enough(count, devices)
    order = generator.permutation(count)[: count // devices * devices]
    return [np.sort(part) for part in order.reshape(devices, -1)]


def shards(labels: np.ndarray, devices: int, per_device: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Samples sorted by label, cut into equal shards; each device draws ``per_device`` (McMahan et al. 2017).

    The remainder that fills no shard is left out at random, so that no class loses more than another.
    """
    total = devices * per_device
    _enough(len(labels), total)
    kept = generator.permutation(len(labels))[: len(labels) // total * total]
    by_label = kept[np.argsort(labels[kept], kind="stable")].reshape(total, -1)
    drawn = generator.permutation(total).reshape(devices, per_device)
    return [np.sort(by_label[mine].ravel()) for mine in drawn]


def dirichlet(labels: np.ndarray, devices: int, alpha: float, generator: np.random.Generator) -> list[np.ndarray]:
    """Each class is dealt by its own shares ~ Dir(alpha·1) (Hsu et al. 2019); drawn again while a device is empty."""
    _enough(len(labels), devices)
    members = [generator.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    for _ in range(REDRAWS):
        pieces = [_deal(one, generator.dirichlet(np.full(devices, alpha))) for one in members]
        parts = [np.sort(np.concatenate(mine)) for mine in zip(*pieces, strict=True)]
        if min(map(len, parts)) > 0:
            return parts
    raise InputError(
        f"{REDRAWS} draws left a device without samples",
        field="dirichlet concentration",
        value=alpha,
        remedy=f"Raise it, or use fewer than {devices} devices.",
    )


def quantity(count: int, devices: int, alpha: float, generator: np.random.Generator) -> list[np.ndarray]:
    """Like labels, unlike amounts: one sample each, the others dealt by shares ~ Dir(alpha·1) (Li et al. 2022)."""
    _enough(count, devices)
    order = generator.permutation(count)
    dealt = _deal(order[devices:], generator.dirichlet(np.full(devices, alpha)))
    return [np.sort(np.append(more, first)) for more, first in zip(dealt, order[:devices], strict=True)]


def _deal(samples: np.ndarray, shares: np.ndarray) -> list[np.ndarray]:
    return np.split(samples, np.round(np.cumsum(shares)[:-1] * len(samples)).astype(np.int64))


def _enough(count: int, wanted: int) -> None:
    if count < wanted:
        raise InputError(
            f"{count} samples cannot fill {wanted} parts", field="partition", remedy="Use fewer devices or more data."
        )
