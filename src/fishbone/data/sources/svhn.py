"""SVHN, cropped digits: 73,257 training and 26,032 test images (N, 32, 32, 3) in two MATLAB files.

Each holds ``X`` (32, 32, 3, N) uint8 and ``y`` (N, 1), where label 10 means the digit 0.
"""

from functools import partial
from pathlib import Path

import numpy as np

from fishbone.data.raw import REPLACE, Labelled, RawData, Request, label_outside, labelled
from fishbone.data.roots import OfficialFile, obtain
from fishbone.errors import InputError
from fishbone.files import sha256

HOST = "http://ufldl.stanford.edu/housenumbers"
TRAIN = OfficialFile("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", f"{HOST}/train_32x32.mat")
TEST = OfficialFile("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", f"{HOST}/test_32x32.mat")
CLASS_NAMES = tuple("0123456789")


def read(files: tuple[OfficialFile, OfficialFile], request: Request) -> RawData:
    """Training and test images in official order; the ``extra`` images are not used.

    Raises:
        InputError: a file cannot be had, is damaged, or holds something else.
    """
    train, test = (obtain(request, file) for file in files)
    return RawData(_load(train), _load(test), CLASS_NAMES, {path.name: sha256(path) for path in (train, test)})


def _load(path: Path) -> Labelled:
    from scipy.io import loadmat  # here, as parameters name the sources, and need none of their libraries

    try:
        content = loadmat(path, variable_names=("X", "y"))
        images, labels = content["X"].transpose(3, 0, 1, 2), content["y"].ravel().astype(np.int64)
    except Exception as error:  # SciPy raises many types on damaged bytes
        raise InputError(
            f"not a MATLAB file with X (32, 32, 3, N) and y: {type(error).__name__}: {error}", file=path, remedy=REPLACE
        ) from None
    if 0 in labels:
        # Official labels run from 1 to 10; a zero would silently join the tens.
        raise label_outside(0, 10, path, f"row {int(np.flatnonzero(labels == 0)[0])}", first=1)
    return labelled(np.ascontiguousarray(images), np.where(labels == 10, 0, labels), len(CLASS_NAMES), path)


svhn = partial(read, (TRAIN, TEST))
