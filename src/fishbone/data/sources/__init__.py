"""The data sources by name.

Adding one: a function `Request` → `RawData`, one line here, and its name in `fishbone.data.names`.
"""

from collections.abc import Callable

from fishbone.data.raw import RawData, Request
from fishbone.data.sources import arrays, cifar10, folder, idx, packaged, parquet, svhn, tiny_imagenet

Reader = Callable[[Request], RawData]

NAMED: dict[str, Reader] = {
    "mnist5k": packaged.mnist5k,
    "digits": packaged.digits,
    "mnist": idx.mnist,
    "fashion-mnist": idx.fashion_mnist,
    "cifar10": cifar10.cifar10,
    "svhn": svhn.svhn,
    "tiny-imagenet": tiny_imagenet.tiny_imagenet,
}
LOCATED: dict[str, Reader] = {
    "parquet": parquet.read,
    "folder": folder.read,
    "npz": arrays.read,
}


def read(request: Request) -> RawData:
    """Read a source.

    Raises:
        InputError: a file is missing, truncated, has the wrong hash, or its content is wrong.
    """
    return (NAMED | LOCATED)[request.kind](request)
