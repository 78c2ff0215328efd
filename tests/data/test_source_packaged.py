import numpy as np

from fishbone.data import names
from fishbone.data.sources import LOCATED, NAMED


def test_the_tables_of_sources_have_the_names_that_parameters_have():
    assert (tuple(NAMED), tuple(LOCATED)) == (names.NAMED, names.LOCATED)


def test_mnist5k_holds_500_of_each_digit(ask, tmp_path):
    raw = NAMED["mnist5k"](ask("mnist5k", tmp_path))
    assert raw.training.images.shape == (5000, 28, 28, 1)
    assert raw.training.images.max() == 255
    np.testing.assert_array_equal(np.bincount(raw.training.labels), [500] * 10)
    assert raw.test is None
    assert list(raw.files) == ["mnist_5k.csv.gz"]


def test_the_17_ink_levels_of_digits_are_spread_over_the_byte(ask, tmp_path):
    from sklearn.datasets import load_digits

    raw = NAMED["digits"](ask("digits", tmp_path))
    assert raw.training.images.shape == (1797, 8, 8, 1)
    levels = np.array([0, 16, 32, 48, 64, 80, 96, 112, 128, 143, 159, 175, 191, 207, 223, 239, 255])
    bunch = load_digits()
    np.testing.assert_array_equal(raw.training.images[..., 0], levels[bunch.images.astype(int)])
    np.testing.assert_array_equal(raw.training.labels, bunch.target)
