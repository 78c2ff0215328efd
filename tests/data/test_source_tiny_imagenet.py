import hashlib
import zipfile

import numpy as np
import pytest

from fishbone.data.roots import OfficialFile
from fishbone.data.sources import tiny_imagenet
from fishbone.errors import InputError

WNIDS = ("n02", "n01")


@pytest.fixture
def files(encode):
    """Two classes; image i of a class is filled with a value of its own; one image is grey."""
    files = {"wnids.txt": b"n02\nn01\n", "test/images/test_0.JPEG": encode(np.zeros((8, 8, 3)))}
    for number, wnid in enumerate(WNIDS):
        for i in range(2):
            files[f"train/{wnid}/images/{wnid}_{i}.JPEG"] = encode(np.full((8, 8, 3), 10 * number + i))
        files[f"train/{wnid}/{wnid}_boxes.txt"] = b""
    files["train/n01/images/n01_2.JPEG"] = encode(np.full((8, 8), 99))
    files["val/images/val_0.JPEG"] = encode(np.full((8, 8, 3), 50))
    files["val/images/val_1.JPEG"] = encode(np.full((8, 8, 3), 51))
    files["val/val_annotations.txt"] = b"val_1.JPEG\tn01\t0\t0\t8\t8\nval_0.JPEG\tn02\t0\t0\t8\t8\n"
    return files


def lay_zip(root, files):
    with zipfile.ZipFile(root / "tiny-imagenet-200.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(f"tiny-imagenet-200/{name}", data)
    data = (root / "tiny-imagenet-200.zip").read_bytes()
    return OfficialFile("tiny-imagenet-200.zip", hashlib.md5(data, usedforsecurity=False).hexdigest(), "")


def lay_folder(root, files):
    for name, data in files.items():
        path = root / "tiny-imagenet-200" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tiny_imagenet.ARCHIVE


@pytest.mark.parametrize("lay", [lay_zip, lay_folder])
def test_zip_and_folder_give_the_same_with_validation_as_test(ask, tmp_path, files, lay):
    raw = tiny_imagenet.read(lay(tmp_path, files), ask("tiny-imagenet", tmp_path))
    assert raw.class_names == ("n01", "n02")
    assert raw.training.labels.tolist() == [0, 0, 0, 1, 1]
    assert raw.training.images[:, 0, 0, 2].tolist() == [10, 11, 99, 0, 1]
    assert raw.test.labels.tolist() == [1, 0]
    assert raw.test.images[:, 3, 4, 1].tolist() == [50, 51]
    assert len(raw.files) == 1


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("val/val_annotations.txt", b"val_0.JPEG\tn02\nval_1.JPEG\tn09\n", r"line 2: wnid .*\(got 'n09'\)"),
        ("val/val_annotations.txt", b"val_0.JPEG\tn02\nval_1.JPEG", r"line 2: wnid .*\(got ''\)"),
        ("val/val_annotations.txt", b"val_0.JPEG\tn02\n", r"val_1\.JPEG: image without annotation"),
        ("val/val_annotations.txt", None, r"val_annotations\.txt: file is missing"),
        ("train/n01/images/n01_1.JPEG", b"\xff\xd8\xff", r"n01_1\.JPEG: image cannot be decoded"),
    ],
)
def test_wrong_content_is_named(ask, tmp_path, files, name, data, message):
    files[name] = data
    lay_folder(tmp_path, {name: data for name, data in files.items() if data is not None})
    with pytest.raises(InputError, match=message):
        tiny_imagenet.tiny_imagenet(ask("tiny-imagenet", tmp_path))


def test_a_truncated_zip_is_refused(ask, tmp_path, files):
    archive = lay_zip(tmp_path, files)
    path = tmp_path / archive.name
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"tiny-imagenet-200\.zip: MD5: damaged"):
        tiny_imagenet.read(archive, ask("tiny-imagenet", tmp_path))
