import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fishbone.report.intervals import Interval, band, interval, paired

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12)


@given(VALUES)
def test_interval_is_the_one_of_scipys_t_test(values):
    found = interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95) if np.std(values) > 1e-9 else (found.mean,) * 2
    np.testing.assert_allclose((found.low, found.high), expected, rtol=1e-6, atol=1e-6)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert found.n == len(values)


def test_three_seeds_by_hand():
    found = interval([1.0, 2.0, 3.0])
    half = 4.302652729911275 / 3**0.5
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half), rel=1e-9)


def test_the_interval_covers_the_mean_95_times_in_100():
    rng = np.random.default_rng(0)
    hits = sum(found.low <= 5 <= found.high for found in (interval(rng.normal(5, 2, 3).tolist()) for _ in range(4000)))
    assert 0.94 < hits / 4000 < 0.96


def test_one_value_has_a_mean_and_no_interval():
    assert interval([0.5]) == Interval(0.5, None, None, 1)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf")]])
def test_what_cannot_be_averaged_is_refused(values):
    with pytest.raises(ValueError, match="cannot average"):
        interval(values)


def test_band_is_the_interval_of_each_point():
    curves = [np.array([1.0, 5.0]), np.array([2.0, 5.0]), np.array([6.0, 5.0])]
    mean, low, high = band(curves)
    first = interval([1.0, 2.0, 6.0])
    assert (mean[0], low[0], high[0]) == (first.mean, first.low, first.high)
    assert (mean[1], low[1], high[1]) == (5, 5, 5)


def test_pairs_are_of_seeds_that_both_have():
    assert paired({0: 5, 1: 6, 2: 7}, {2: 1, 0: 2, 9: 0}, lambda a, b: a - b) == {0: 3, 2: 6}
