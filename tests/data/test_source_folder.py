import hashlib

import numpy as np
import pytest

from fishbone.data.sources import LOCATED
from fishbone.errors import InputError


@pytest.fixture
def lay(tmp_path, encode):
    def write(*names, data=None):
        for number, name in enumerate(names):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(np.full((4, 3), number)) if data is None else data)

    return write


@pytest.fixture
def read(ask, tmp_path):
    return lambda: LOCATED["folder"](ask("folder", tmp_path, "."))


def test_each_folder_is_a_class(lay, read, tmp_path):
    lay("dog/b.png", "dog/deep/a.png", "cat/z.png", ".hidden/x.png", "cat/.DS_Store", "README.md")
    raw = read()
    assert raw.class_names == ("cat", "dog")
    assert raw.training.labels.tolist() == [0, 1, 1]
    assert raw.training.images[:, 0, 0, 0].tolist() == [2, 0, 1]
    assert raw.test is None


def test_the_hash_is_that_of_sha256sums_lines(lay, read, tmp_path):
    lay("a/x.png", "b/y.png")
    sums = [(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest(), name) for name in ("a/x.png", "b/y.png")]
    lines = "".join(f"{digest}  {name}\n" for digest, name in sums)
    assert read().files == {"**": hashlib.sha256(lines.encode()).hexdigest()}


@pytest.mark.parametrize("held_out", ["test", "val", "valid", "validation"])
def test_train_and_test_folders_are_the_official_splits(lay, read, held_out):
    lay("train/cat/a.png", "train/dog/b.png", f"{held_out}/dog/c.png")
    raw = read()
    assert raw.class_names == ("cat", "dog")
    assert raw.training.labels.tolist() == [0, 1]
    assert raw.test.labels.tolist() == [1]
    assert raw.test.images[0, 0, 0, 0] == 2


def test_validation_beside_test_belongs_to_training(lay, read):
    lay("train/cat/a.png", "train/dog/b.png", "val/dog/c.png", "test/cat/d.png")
    raw = read()
    assert (raw.training.labels.tolist(), raw.test.labels.tolist()) == ([0, 1, 1], [0])


def test_a_class_may_be_called_train(lay, read):
    lay("train/a.png", "tram/b.png")
    assert read().class_names == ("train", "tram")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("cat/a.png", "b.png"), r"b\.png: image in no class folder"),
        (("train/cat/a.png", "train/b.png"), r"train/b\.png: image in no class folder"),
        (("cat/a.png", "cat/b.tiff"), r"b\.tiff: suffix: not an image file \(got '.tiff'\)"),
        (("train/cat/a.png", "test/dog/b.png"), r"b\.png: class: class has no training image \(got 'dog'\)"),
        (("test/cat/a.png",), None),
        (("README.md",), "no training image"),
    ],
)
def test_what_is_no_image_folder_is_refused(lay, read, names, message):
    lay(*names)
    if message is None:
        assert read().class_names == ("test",)
        return
    with pytest.raises(InputError, match=message):
        read()


def test_a_damaged_image_is_named(lay, read):
    lay("cat/a.png", "dog/b.png")
    lay("dog/c.png", data=b"\x89PNG\r\n")
    with pytest.raises(InputError, match=r"c\.png: image cannot be decoded"):
        read()
