import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fishbone.data.sources import LOCATED
from fishbone.errors import InputError


@pytest.fixture
def lay(tmp_path, encode):
    """Write one parquet file; image i is filled with ``100 + i`` unless its bytes are given."""

    def write(name, labels, *, form="PNG", shape=(6, 5, 3), names=None, **images):
        blobs = [encode(np.full(shape, 100 + row), form) for row in range(len(labels))]
        for row, data in images.items():
            blobs[int(row[1:])] = data
        table = pa.table({"image": [{"bytes": data, "path": "x"} for data in blobs], "label": labels, "exact": labels})
        if names:
            features = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
            table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
        pq.write_table(table, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def read(ask, tmp_path):
    return lambda threads=1: LOCATED["parquet"](ask("parquet", tmp_path.parent, tmp_path.name, threads))


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_shards_are_read_in_order_with_the_hubs_class_names(lay, read, form):
    lay("train-00001-of-00002.parquet", [0, 0], form=form)
    lay("train-00000-of-00002.parquet", [1, 0, 1], form=form, names=["cat", "dog"])
    lay("test-00000-of-00001.parquet", [1], form=form)
    raw = read()
    assert raw.class_names == ("cat", "dog")
    assert raw.training.images.shape == (5, 6, 5, 3)
    assert raw.training.images[:, 1, 2, 0].tolist() == [100, 101, 102, 100, 101]
    assert raw.training.labels.tolist() == [1, 0, 1, 0, 0]
    assert raw.test.labels.tolist() == [1]
    assert len(raw.files) == 3


@pytest.mark.parametrize("name", ["valid-00000-of-00001.parquet", "validation-0.parquet", "val-0.parquet"])
def test_validation_is_the_test_split_where_there_is_no_other(lay, read, name):
    lay("train-0.parquet", [0, 1])
    lay(name, [1, 0, 1])
    assert read().test.labels.tolist() == [1, 0, 1]


def test_validation_beside_a_test_split_belongs_to_training(lay, read):
    lay("train-0.parquet", [0, 1])
    lay("valid-0.parquet", [2])
    lay("test-0.parquet", [1])
    raw = read()
    assert (raw.training.labels.tolist(), raw.test.labels.tolist()) == ([0, 1, 2], [1])


def test_grey_images_stay_one_channel_unless_another_is_coloured(lay, read):
    lay("train-0.parquet", [0, 1], shape=(6, 5))
    assert read().training.images.shape == (2, 6, 5, 1)
    lay("test-0.parquet", [0], shape=(6, 5, 3))
    raw = read()
    assert raw.training.images.shape == (2, 6, 5, 3)
    np.testing.assert_array_equal(raw.training.images[1], np.full((6, 5, 3), 101))


def test_the_number_of_threads_changes_nothing(lay, read, encode):
    rng = np.random.default_rng(0)
    images = {f"_{row}": encode(rng.integers(0, 256, (6, 5, 3))) for row in range(700)}
    lay("train-0.parquet", [0] * 700, **images)
    np.testing.assert_array_equal(read(1).training.images, read(3).training.images)


def test_damaged_image_bytes_name_the_row(lay, read, encode):
    whole = encode(np.random.default_rng(0).integers(0, 256, (6, 5, 3)))
    for damaged in (whole[: len(whole) // 2], b"junk", None):
        lay("train-0.parquet", [0, 1, 0], _2=damaged)
        with pytest.raises(InputError, match=r"train-0\.parquet: row 2: image cannot be decoded"):
            read()


def test_an_image_of_another_size_or_depth_names_the_row(lay, read, encode):
    lay("train-0.parquet", [0, 1], _1=encode(np.zeros((5, 6, 3))))
    with pytest.raises(InputError, match=r"row 1: image is not 5×6 like the first.*\(got '6×5 RGB'\)"):
        read()


@pytest.mark.parametrize(("label", "shown"), [(-1, "-1"), (2, "2"), (None, "None")])
def test_a_label_outside_the_classes_names_the_row(lay, read, label, shown):
    lay("train-0.parquet", [0, label, 1], names=["cat", "dog"])
    with pytest.raises(InputError, match=rf"row 1, label: label is not one of the 2 classes \(got {shown}\)"):
        read()


def test_unnumbered_labels_without_names_are_checked_too(lay, read):
    lay("train-0.parquet", [0, None, 1])
    with pytest.raises(InputError, match=r"row 1, label: label is not one of the 2 classes \(got None\)"):
        read()


def test_a_truncated_file_is_refused(lay, read):
    path = lay("train-0.parquet", [0, 1])
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"train-0\.parquet: cannot be read as parquet"):
        read()


def test_a_missing_shard_is_named(lay, read):
    lay("train-00000-of-00002.parquet", [0, 1])
    with pytest.raises(InputError, match=r"train-\*\.parquet: of 2 train files 1 are there"):
        read()


def test_a_folder_without_training_files_is_refused(lay, read):
    lay("test-0.parquet", [0, 1])
    with pytest.raises(InputError, match=r"no train-\*\.parquet here"):
        read()


def test_other_columns_are_refused(tmp_path, read):
    pq.write_table(pa.table({"image": [b"x"], "label": [0]}), tmp_path / "train-0.parquet")
    with pytest.raises(InputError, match=r"columns: no single column of struct.*'image': 'binary'"):
        read()
