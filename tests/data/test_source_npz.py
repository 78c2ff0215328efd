import numpy as np
import pytest

from fishbone.data.sources import LOCATED
from fishbone.errors import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


@pytest.fixture
def read(ask, tmp_path):
    def write_and_read(**arrays):
        np.savez(tmp_path / "mine.npz", **arrays)
        return LOCATED["npz"](ask("npz", tmp_path, "mine.npz"))

    return write_and_read


def test_images_and_labels(read):
    raw = read(images=IMAGES, labels=LABELS.astype(np.int32), class_names=np.array(["a", "b", "c"]))
    np.testing.assert_array_equal(raw.training.images, IMAGES[..., None])
    assert raw.training.labels.dtype == np.int64
    assert raw.class_names == ("a", "b", "c")
    assert raw.test is None


def test_keras_arrays_with_a_column_of_labels(read):
    colour = np.repeat(IMAGES[..., None], 3, axis=-1)
    raw = read(x_train=colour, y_train=LABELS[:, None], x_test=colour[:2], y_test=np.array([[3], [0]], dtype=np.uint8))
    assert raw.class_names == ("0", "1", "2", "3")
    assert raw.test.labels.tolist() == [3, 0]
    assert raw.training.images.shape == (6, 4, 3, 3)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": LABELS[:-1]}, "labels: 6 images but 5 labels"),
        ({"images": IMAGES / 255}, r"images: images are not uint8.*\(got 'float64 \(6, 4, 3\)'\)"),
        ({"images": IMAGES[:0]}, "images: images are not uint8"),
        ({"images": np.stack([IMAGES] * 2, axis=-1)}, r"images: .*1 or 3 channels.*6, 4, 3, 2"),
        ({"labels": LABELS + 0.5}, r"labels: labels are not a list of integers \(got 'float64 \(6,\)'\)"),
        ({"labels": LABELS - 1}, r"row 0, label: .*\(got -1\)"),
        ({"labels": LABELS + 2**60}, r"row 0, label: label is not one of the 6 classes"),
        ({"class_names": np.array(["a", "b"])}, r"row 2, label: .*2 classes \(got 2\)"),
        ({"masks": LABELS}, r"arrays: unknown arrays \(got \['images', 'labels', 'masks'\]\)"),
        ({"labels": np.array([{}] * 6)}, r"cannot be read as \.npz: Object arrays cannot be loaded"),
    ],
)
def test_wrong_arrays_are_named(read, arrays, message):
    with pytest.raises(InputError, match=rf"mine\.npz: {message}"):
        read(**{"images": IMAGES, "labels": LABELS, **arrays})


def test_test_images_of_another_shape_are_refused(read):
    with pytest.raises(InputError, match=r"mine\.npz: images: test images have another shape.*\(got \(3, 3, 1\)\)"):
        read(x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:, 1:], y_test=LABELS)


@pytest.mark.parametrize("keep", [0, 10, -30])
def test_a_truncated_file_is_refused(read, ask, tmp_path, keep):
    read(images=IMAGES, labels=LABELS)
    path = tmp_path / "mine.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"mine\.npz: cannot be read as \.npz"):
        LOCATED["npz"](ask("npz", tmp_path, "mine.npz"))
