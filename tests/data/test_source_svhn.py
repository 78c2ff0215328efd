import hashlib

import numpy as np
import pytest
from scipy.io import savemat

from fishbone.data.roots import OfficialFile
from fishbone.data.sources import svhn
from fishbone.errors import InputError


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3, 5), dtype=np.uint8)


def lay(folder, name, content):
    savemat(folder / name, content, do_compression=True)
    md5 = hashlib.md5((folder / name).read_bytes(), usedforsecurity=False).hexdigest()
    return OfficialFile(name, md5, "http://127.0.0.1:9/x")


def labels(*values):
    return np.array(values, dtype=np.uint8)[:, None]


def test_label_ten_means_the_digit_zero(ask, tmp_path, images):
    train = lay(tmp_path, "train_32x32.mat", {"X": images, "y": labels(1, 9, 10, 2, 10)})
    test = lay(tmp_path, "test_32x32.mat", {"X": images[..., :2], "y": labels(10, 3)})
    raw = svhn.read((train, test), ask("svhn", tmp_path))
    assert raw.training.labels.tolist() == [1, 9, 0, 2, 0]
    assert raw.test.labels.tolist() == [0, 3]
    np.testing.assert_array_equal(raw.training.images[3], images[:, :, :, 3])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"y": labels(0, 1, 2, 3, 4)}, r"row 0, label: .*\(got 0\)\. Labels are integers from 1 to 10"),
        ({"y": labels(1, 1, 2, 11, 4)}, r"row 3, label: .*10 classes \(got 11\)"),
        ({"y": labels(1, 2)}, "labels: 5 images but 2 labels"),
        ({"X": np.zeros((32, 32, 3, 5))}, "images: images are not uint8"),
        ({"X": np.zeros((5, 32), np.uint8)}, "not a MATLAB file with X"),
    ],
)
def test_wrong_content_is_named(ask, tmp_path, images, content, message):
    train = lay(tmp_path, "train_32x32.mat", {"X": images, "y": labels(1, 2, 3, 4, 5), **content})
    with pytest.raises(InputError, match=rf"train_32x32\.mat: {message}"):
        svhn.read((train, train), ask("svhn", tmp_path))


def test_a_truncated_file_is_refused(ask, tmp_path, images):
    train = lay(tmp_path, "train_32x32.mat", {"X": images, "y": labels(1, 2, 3, 4, 5)})
    path = tmp_path / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"train_32x32\.mat: MD5: damaged"):
        svhn.read((train, train), ask("svhn", tmp_path))


def test_a_file_that_is_not_matlabs_is_refused(ask, tmp_path):
    (tmp_path / "train_32x32.mat").write_bytes(b"x" * 300)
    train = OfficialFile("train_32x32.mat", hashlib.md5(b"x" * 300).hexdigest(), "http://127.0.0.1:9/x")
    with pytest.raises(InputError, match=r"train_32x32\.mat: not a MATLAB file"):
        svhn.read((train, train), ask("svhn", tmp_path))
