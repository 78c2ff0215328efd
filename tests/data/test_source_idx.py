import gzip
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fishbone.data.sources import NAMED, idx
from fishbone.errors import InputError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def idx_bytes(array):
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, dtype=">u4").tobytes() + array.tobytes()


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def source_of(contents, url="http://127.0.0.1:9"):
    """A source whose official files hold ``contents``, compressed in one fixed way."""
    sums = {name: (md5(gzip.compress(data, mtime=0)), md5(data)) for name, data in contents.items()}
    return replace(idx.MNIST, url=url, md5=sums)


@pytest.fixture
def contents():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (count, 5, 4), dtype=np.uint8) for count in (7, 3)]
    labels = [rng.integers(0, 10, count, dtype=np.uint8) for count in (7, 3)]
    arrays = (images[0], labels[0], images[1], labels[1])
    return {name: idx_bytes(array) for name, array in zip(idx.NAMES, arrays, strict=True)}


def lay(folder, contents, packed=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data, compresslevel=1, mtime=1))
        else:
            (folder / name).write_bytes(data)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("where", ["mnist", "MNIST/raw", ""])
def test_idx_files_are_read_packed_or_not_from_each_usual_folder(ask, tmp_path, contents, packed, where):
    lay(tmp_path / where, contents, packed)
    raw = idx.read(source_of(contents), ask("mnist", tmp_path))
    for part, prefix, count in ((raw.training, "train", 7), (raw.test, "t10k", 3)):
        assert part.images.shape == (count, 5, 4, 1)
        assert part.images.tobytes() == contents[f"{prefix}-images-idx3-ubyte"][16:]
        assert part.labels.tolist() == list(contents[f"{prefix}-labels-idx1-ubyte"][8:])
    assert len(raw.files) == 4


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (0, lambda data: b"\0\0\x08\x01" + data[4:], r"train-images.*magic number.*3 axes.*\(got '00000801'\)"),
        (0, lambda data: data[:-1], r"train-images.*values.*140 values of shape \(7, 5, 4\) \(got 139\)"),
        (0, lambda data: data + b"x", r"train-images.*values.*140 values.*\(got 141\)"),
        (0, lambda data: data[:9], r"train-images.*values: header announces"),
        (3, lambda _: idx_bytes(np.zeros(2, np.uint8)), "t10k-labels.*labels: 3 images but 2 labels"),
        (1, lambda data: data[:10] + b"\x0b" + data[11:], r"train-labels.*row 2, label: .*10 classes \(got 11\)"),
    ],
)
def test_wrong_content_is_named(ask, tmp_path, contents, file, change, message):
    spoilt = {**contents, idx.NAMES[file]: change(contents[idx.NAMES[file]])}
    lay(tmp_path, spoilt)
    with pytest.raises(InputError, match=message):
        idx.read(source_of(spoilt), ask("mnist", tmp_path))


@pytest.mark.parametrize("packed", [True, False])
def test_a_local_file_with_other_content_than_the_official_is_refused(ask, tmp_path, contents, packed):
    lay(tmp_path, {**contents, idx.NAMES[2]: contents[idx.NAMES[2]][:-1] + b"\0"}, packed)
    with pytest.raises(
        InputError, match=r"t10k-images.*MD5: damaged, or not the official file.*\(got '[0-9a-f]{32}'\)"
    ):
        idx.read(source_of(contents), ask("mnist", tmp_path))


def test_a_truncated_gz_is_refused(ask, tmp_path, contents):
    lay(tmp_path, contents)
    path = tmp_path / f"{idx.NAMES[0]}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"train-images.*cannot be decompressed"):
        idx.read(source_of(contents), ask("mnist", tmp_path))


def test_the_system_package_is_used_after_the_roots(ask, tmp_path, contents):
    lay(tmp_path / "package", contents)
    source = replace(source_of(contents), system=(str(tmp_path / "package"),))
    assert len(idx.read(source, ask("mnist", tmp_path / "empty")).training) == 7


@pytest.mark.slow
@pytest.mark.skipif(not DEBIAN.exists(), reason="needs Debian's dataset-fashion-mnist")
def test_debians_fashion_mnist_is_the_official_one(ask, tmp_path):
    raw = NAMED["fashion-mnist"](ask("fashion-mnist", tmp_path))
    np.testing.assert_array_equal(np.bincount(raw.training.labels), [6000] * 10)
    np.testing.assert_array_equal(np.bincount(raw.test.labels), [1000] * 10)
    assert raw.training.images.mean() / 255 == pytest.approx(0.2860, abs=1e-4)
