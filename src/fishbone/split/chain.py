"""A network cut into a chain of segments over parties: activations go forward, gradients come back, as messages.

x → segment 1 → z_1 → segment 2 → … → output, and dL/dz back along the same links. Each party holds only its layers'
weights and their optimiser.
"""

import copy
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

from torch import nn

from fishbone.split.segment import Pass, Segment


def cut(network: nn.Sequential, sizes: Sequence[int]) -> list[nn.Sequential]:
    """Copies of ``sizes[0]``, ``sizes[1]``, … consecutive layers; names, hence weights' names, stay as they were.

    Raises:
        ValueError: a size is not positive, or they do not add up to the number of layers.
    """
    layers = list(network.named_children())
    if min(sizes) < 1 or sum(sizes) != len(layers):
        raise ValueError(f"sizes {list(sizes)} do not cut {len(layers)} layers")
    parts = []
    for start, end in pairwise(accumulate(sizes, initial=0)):
        part = nn.Sequential()
        for name, layer in layers[start:end]:
            part.add_module(name, copy.deepcopy(layer))
        parts.append(part.train(network.training))
    return parts


def segments(
    network: nn.Sequential,
    placed: Mapping[str, int],
    chain: str,
    passes: Mapping[str, Pass],
    owner: str = "owner",
    helper: str = "helper",
) -> dict[str, Segment]:
    """Address → the actor there.

    Args:
        network: is copied.
        placed: address → number of layers, in the order of the forward pass; the data's owner first.
        chain: the chain's name, which keys the masks of dropout.
        passes: by purpose.
        owner: role of the first party.
        helper: role of the others.
    """
    addresses: list[str | None] = [None, *placed, None]
    parts = cut(network, list(placed.values()))
    return {
        address: Segment(helper if before else owner, part, chain, passes, before, after)
        for before, address, after, part in zip(addresses, placed, addresses[2:], parts, strict=False)
    }
