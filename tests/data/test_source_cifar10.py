import hashlib
import io
import os
import pickle
import struct
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from fishbone.data.roots import OfficialFile
from fishbone.data.sources import cifar10
from fishbone.data.sources.plain_pickle import read_batch
from fishbone.errors import InputError


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def python2_batch(pixels, labels):
    """The opcodes that Python 2's cPickle wrote into the official batches."""
    rows = struct.pack("<H", len(labels))
    return (
        b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05("
        + b"".join(b"K" + bytes([label]) for label in labels)
        + b"eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\t"
        + b"(K\x01M" + rows + b"M\x00\x0c\x86cnumpy\ndtype\nq\nU\x02u1K\x00K\x01\x87Rq\x0b"
        + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<i", pixels.nbytes) + pixels.tobytes()
        + b"q\x0ctbU\tfilenamesq\r]q\x0eU\x05a.pngq\x0fau."
    )  # fmt: skip


def binary_batch(pixels, labels):
    return np.hstack([np.array(labels, dtype=np.uint8)[:, None], pixels]).tobytes()


WRITERS = {"binary": (cifar10.BINARY, binary_batch), "python": (cifar10.PYTHON, python2_batch)}


@pytest.fixture(scope="module")
def batches():
    rng = np.random.default_rng(0)
    return [(rng.integers(0, 256, (4, 3072), dtype=np.uint8), rng.integers(0, 10, 4).tolist()) for _ in range(6)]


def members(kind, batches):
    layout, write = WRITERS[kind]
    return {name: write(*batch) for name, batch in zip(layout.members, batches, strict=True)}


def lay_archive(root, kind, contents):
    """Write the archive; return the layout with the hashes of this tiny edition."""
    layout = WRITERS[kind][0]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in {"readme.html": b"x", **contents}.items():
            entry = tarfile.TarInfo(f"{layout.folder}/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    (root / layout.archive.name).write_bytes(buffer.getvalue())
    return replace(layout, archive=OfficialFile(layout.archive.name, md5(buffer.getvalue()), "http://127.0.0.1:9/x"))


def lay_folder(root, kind, contents):
    layout = WRITERS[kind][0]
    (root / layout.folder).mkdir()
    for name, data in contents.items():
        (root / layout.folder / name).write_bytes(data)
    sums = {name: layout.members[name] and md5(contents.get(name, b"")) for name in layout.members}
    return replace(layout, members=sums)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("lay", [lay_archive, lay_folder])
def test_every_official_layout_gives_the_same_images(ask, tmp_path, batches, kind, lay):
    layout = lay(tmp_path, kind, members(kind, batches))
    raw = cifar10.read((layout,), ask("cifar10", tmp_path))
    pixels = np.concatenate([pixels for pixels, _ in batches])
    images = np.concatenate([raw.training.images, raw.test.images])
    assert images.shape == (24, 32, 32, 3)
    for row, channel, y, x in ((0, 0, 0, 0), (5, 1, 2, 7), (23, 2, 31, 30)):
        assert images[row, y, x, channel] == pixels[row, channel * 1024 + y * 32 + x]
    assert images.sum() == pixels.sum()
    assert [*raw.training.labels, *raw.test.labels] == [label for _, labels in batches for label in labels]
    assert len(raw.test) == 4


def test_the_hubs_parquet_serves_where_no_official_file_is(ask, tmp_path, encode):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "cifar10").mkdir()
    for split, count in (("train", 3), ("test", 2)):
        images = [{"bytes": encode(np.full((32, 32, 3), row), "WEBP"), "path": None} for row in range(count)]
        table = pa.table({"img": images, "label": list(range(count))})
        pq.write_table(table, tmp_path / "cifar10" / f"{split}-00000-of-00001.parquet")
    raw = cifar10.cifar10(ask("cifar10", tmp_path))
    assert raw.class_names == cifar10.CLASS_NAMES
    np.testing.assert_array_equal(raw.training.images[2], np.full((32, 32, 3), 2))
    assert (len(raw.training), len(raw.test)) == (3, 2)


def test_a_truncated_archive_is_refused(ask, tmp_path, batches):
    layout = lay_archive(tmp_path, "binary", members("binary", batches))
    path = tmp_path / layout.archive.name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"cifar-10-binary\.tar\.gz: MD5: damaged"):
        cifar10.read((layout,), ask("cifar10", tmp_path))


@pytest.mark.parametrize("lay", [lay_archive, lay_folder])
def test_a_missing_batch_is_named(ask, tmp_path, batches, lay):
    contents = members("binary", batches)
    del contents["data_batch_3.bin"]
    with pytest.raises(InputError, match=r"data_batch_3\.bin: batch is missing"):
        cifar10.read((lay(tmp_path, "binary", contents),), ask("cifar10", tmp_path))


def test_an_extracted_python_batch_of_another_hash_is_refused_before_it_is_parsed(ask, tmp_path, batches):
    layout = lay_folder(tmp_path, "python", members("python", batches))
    (tmp_path / layout.folder / "data_batch_2").write_bytes(b"not even a pickle")
    with pytest.raises(InputError, match="data_batch_2: MD5: damaged"):
        cifar10.read((layout,), ask("cifar10", tmp_path))


def test_a_label_outside_the_ten_classes_is_named(ask, tmp_path, batches):
    pixels, _ = batches[0]
    contents = members("binary", [(pixels, [0, 1, 10, 3]), *batches[1:]])
    with pytest.raises(InputError, match=r"data_batch_1\.bin: row 2, label: .*10 classes \(got 10\)"):
        cifar10.read((lay_folder(tmp_path, "binary", contents),), ask("cifar10", tmp_path))


def test_a_truncated_binary_batch_is_refused(ask, tmp_path, batches):
    contents = members("binary", batches)
    contents["test_batch.bin"] = contents["test_batch.bin"][:-1]
    with pytest.raises(InputError, match=r"test_batch\.bin: size: not whole rows of 3073 bytes \(got 12291\)"):
        cifar10.read((lay_folder(tmp_path, "binary", contents),), ask("cifar10", tmp_path))


class Shell:
    """Unpickled by Python itself, it would create the file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def evil_pickles(path):
    shell = pickle.dumps({b"data": Shell(path), b"labels": [1]}, protocol=2)
    call = f"(S'open({str(path)!r}, \"w\")'\ntR.".encode()
    return {
        "os.system": shell,
        "eval": b"cbuiltins\neval\n" + call,
        "eval of Python 2": b"c__builtin__\neval\n" + call,
        "method of numpy": b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",
        "globals of a stand-in": b"\x80\x04\x8c\x15numpy.core.multiarray\x8c\x18_reconstruct.__globals__\x93.",
        "numpy.load": b"cnumpy\nload\n(S'" + str(path).encode() + b"'\ntR.",
        "object dtype": python2_batch(np.zeros((1, 3072), np.uint8), [0]).replace(b"U\x02u1", b"U\x02O8"),
        "persistent id": b"Pfile\n.",
    }


@pytest.mark.parametrize("name", evil_pickles(""))
def test_a_malicious_pickle_is_refused_and_runs_nothing(tmp_path, name):
    target = tmp_path / "touched"
    with pytest.raises(InputError, match="data_batch_1: not a CIFAR-10 batch of plain data: UnpicklingError"):
        read_batch(evil_pickles(target)[name], "data_batch_1")
    assert not target.exists()


def test_a_truncated_pickle_is_refused(batches):
    data = python2_batch(*batches[0])
    for size in (0, 1, 50, 200, len(data) - 3):
        with pytest.raises(InputError, match="not a CIFAR-10 batch"):
            read_batch(data[:size], "data_batch_1")


@pytest.mark.slow
@pytest.mark.skipif("FISHBONE_DATA" not in os.environ, reason="needs CIFAR-10 in FISHBONE_DATA")
def test_the_real_cifar10_has_its_known_mean_and_deviation(ask):
    raw = cifar10.cifar10(ask("cifar10", os.environ["FISHBONE_DATA"], threads=2))
    np.testing.assert_array_equal(np.bincount(raw.training.labels), [5000] * 10)
    np.testing.assert_array_equal(np.bincount(raw.test.labels), [1000] * 10)
    scaled = raw.training.images.reshape(-1, 3)
    np.testing.assert_allclose(scaled.mean(axis=0) / 255, [0.4914, 0.4822, 0.4465], atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=0, dtype=np.float64) / 255, [0.2470, 0.2435, 0.2616], atol=1e-4)
