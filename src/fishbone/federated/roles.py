"""Who holds which samples and which part of the network.

HoVeFL (Li et al. 2025, doi 10.1109/LNET.2025.3540268) has two kinds of members. A
*horizontal device* holds whole images with labels of its own samples and the whole network. A *vertical group* is
one party per part of the image, each with that part of the group's samples and its bottom network, and a label
holder with the labels and the top network. Equal data per member: the horizontal pool is the fraction H/(H+V) of
the training split, the vertical pool the rest; each pool is then partitioned over its members.
"""

from dataclasses import dataclass

import numpy as np

from fishbone.data.partition import partition
from fishbone.seeding import numpy_generator


@dataclass(frozen=True, eq=False)
class HorizontalRole:
    """``samples``: sorted positions in the training split."""

    id: str
    samples: np.ndarray

    @property
    def parts(self) -> dict[str, str]:
        """Address → prefix of the weights that live there."""
        return {self.id: ""}


@dataclass(frozen=True, eq=False)
class VerticalRole:
    """``samples`` are the same, in the same order, at every party and at the label holder.

    Finding the common samples (private set intersection) is done before.
    """

    id: str
    samples: np.ndarray
    parties: tuple[str, ...]
    label_holder: str

    @property
    def parts(self) -> dict[str, str]:
        """Address → prefix of the weights that live there."""
        bottoms = {address: f"bottoms.{p}." for p, address in enumerate(self.parties)}
        return {self.label_holder: "top."} | bottoms


Role = HorizontalRole | VerticalRole


def assign(
    labels: np.ndarray,
    horizontal: int,
    vertical: int,
    *,
    parties: int,
    horizontal_partition: str,
    vertical_partition: str,
    seed: int,
) -> list[Role]:
    """Draw the two pools and deal them.

    The authors cut the pools in file order; drawing them keeps a file that is sorted by label from deciding
    which classes a pool has.

    Args:
        labels: (N,) classes of the training split.
        horizontal, vertical: number of devices and of groups, not both 0.
        parties: parties of a group.
        horizontal_partition, vertical_partition: how each pool is dealt, by a name that
            `fishbone.data.partition.partition` knows.
        seed: decides pools and partitions; the same seed gives the same roles.

    Examples:
        >>> roles = assign(
        ...     np.arange(60) % 10, horizontal=2, vertical=1, parties=2, seed=0,
        ...     horizontal_partition="iid", vertical_partition="iid",
        ... )
        >>> [(role.id, len(role.samples)) for role in roles]
        [('h00000', 20), ('h00001', 20), ('v00000', 20)]
        >>> roles[2].parties, roles[2].label_holder
        (('v00000/party0', 'v00000/party1'), 'v00000/labels')

    Raises:
        InputError: too few samples for so many members.
    """
    order = numpy_generator(seed, "pools").permutation(len(labels))
    border = len(labels) * horizontal // (horizontal + vertical)
    pools = np.sort(order[:border]), np.sort(order[border:])
    own, shared = (
        [pool[part] for part in partition(spec, labels[pool], members, numpy_generator(seed, "partition", kind))]
        for pool, spec, members, kind in zip(
            pools, (horizontal_partition, vertical_partition), (horizontal, vertical), "hv", strict=True
        )
    )
    return [HorizontalRole(f"h{i:05d}", samples) for i, samples in enumerate(own)] + [
        vertical_role(f"v{j:05d}", samples, parties) for j, samples in enumerate(shared)
    ]


def vertical_role(group: str, samples: np.ndarray, parties: int) -> VerticalRole:
    """A group with so many parties, whose addresses begin with its id."""
    addresses = tuple(f"{group}/party{p}" for p in range(parties))
    return VerticalRole(group, samples, addresses, f"{group}/labels")
