"""A network cut into a chain of segments over parties: activations go forward, gradients come back, as messages.

x → segment 1 → z_1 → segment 2 → … → output, and dL/dz back along the same links. Each party holds only its layers'
weights and their optimiser.
"""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise

from torch import nn

from fishbone.errors import ArgumentError
from fishbone.split.messages import HELPER, OWNER
from fishbone.split.passes import Pass
from fishbone.split.segment import Segment


def cut(network: nn.Sequential, sizes: Sequence[int]) -> list[nn.Sequential]:
    """Copies of ``sizes[0]``, ``sizes[1]``, … consecutive layers; names, hence weights' names, stay as they were.

    Examples:
        >>> network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> [list(part.state_dict()) for part in cut(network, [1, 2])]
        [['0.weight', '0.bias'], ['2.weight', '2.bias']]

    Raises:
        ArgumentError: a size is not positive, or they do not add up to the number of layers.
    """
    layers = list(network.named_children())
    if min(sizes) < 1 or sum(sizes) != len(layers):
        raise ArgumentError(f"sizes {list(sizes)} do not cut {len(layers)} layers")
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
    feeder: str | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Segment]:
    """Address → the actor there.

    Args:
        network: the whole network, which is copied.
        placed: address → number of layers, in the order of the forward pass.
        chain: the chain's name, which keys the masks of dropout.
        passes: what each pass is for, by its purpose.
        feeder: address of the owner of the data; None where the first of these parties is the owner.
        clock: the time in seconds, for deadlines.
    """
    before = [feeder, *placed]
    after = [*list(placed)[1:], None]
    parts = cut(network, list(placed.values()))
    return {
        address: Segment(HELPER if above else OWNER, part, chain, passes, above, below, clock)
        for address, above, below, part in zip(placed, before, after, parts, strict=False)
    }
