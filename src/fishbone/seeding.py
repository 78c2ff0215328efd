"""Every random draw comes from a generator keyed by (seed, purpose, round, device, …).

No global generator is read or moved, so the order in which parts of a program run never
changes what they draw. Keys are hashed (SHA-256), so neighbouring seeds are unrelated.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, *key: str | int) -> int:
    """A 63-bit seed for this key.

    Examples:
        >>> derive(0, "dropout", 7) == derive(0, "dropout", 7)
        True
        >>> derive(0, "dropout", 7) == derive(0, "dropout", 8)
        False
    """
    text = repr((int(seed), *key)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def numpy_generator(seed: int, *key: str | int) -> np.random.Generator:
    """A NumPy generator for this key.

    Examples:
        >>> numpy_generator(0, "order").permutation(5).tolist() == numpy_generator(0, "order").permutation(5).tolist()
        True
    """
    return np.random.Generator(np.random.Philox(derive(seed, *key)))


def torch_generator(seed: int, *key: str | int) -> "torch.Generator":
    """A CPU ``torch.Generator`` for this key."""
    import torch  # here, as arrays are drawn without it

    return torch.Generator().manual_seed(derive(seed, *key))


@contextmanager
def torch_seeded(seed: int, *key: str | int) -> Iterator[None]:
    """Inside, torch's global generator is keyed; outside it is as before.

    For code that cannot take a generator: weight initialisation and dropout of ``torch.nn``.
    """
    import torch  # here, as arrays are drawn without it

    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, *key))
        yield
