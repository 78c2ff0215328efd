import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fishbone.report.intervals import FRACTION, POSITIVE, Interval, band, bounds_of, clipped, interval, paired

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


SEEDS = {"min_size": 2, "max_size": 12}


@given(st.lists(st.floats(0, 1), **SEEDS))
def test_an_interval_of_fractions_holds_their_mean_and_stays_within_0_and_1(values):
    found = interval(values, FRACTION)
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert found.mean == pytest.approx(np.mean(values), abs=1e-12)


@given(st.lists(st.floats(0, 1e9), **SEEDS))
def test_an_interval_of_positive_numbers_holds_their_mean_and_stays_positive(values):
    found = interval(values, POSITIVE)
    assert 0 <= found.low <= found.mean <= found.high < float("inf")


@given(st.lists(st.floats(0, 1), **SEEDS))
def test_the_interval_of_errors_mirrors_that_of_accuracies(values):
    right, wrong = interval(values, FRACTION), interval([1 - value for value in values], FRACTION)
    assert (right.low, right.high) == pytest.approx((1 - wrong.high, 1 - wrong.low), abs=1e-6)


@given(st.lists(st.floats(0.01, 100), **SEEDS), st.floats(0.1, 10))
def test_the_interval_of_a_positive_number_does_not_depend_on_its_unit(values, unit):
    plain, scaled = interval(values, POSITIVE), interval([unit * value for value in values], POSITIVE)
    assert (scaled.low, scaled.high) == pytest.approx((unit * plain.low, unit * plain.high), rel=1e-6)


@pytest.mark.parametrize("bounds", [FRACTION, POSITIVE, (0.0, 100.0)])
def test_seeds_that_differ_little_get_the_plain_interval(bounds):
    values = [0.9, 0.9001, 0.8999]
    plain, found = interval(values), interval(values, bounds)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=2e-6)


@pytest.mark.parametrize(
    ("values", "bounds"),
    [([0.7, 0.99, 0.95], FRACTION), ([1.0, 0.98, 1.0], FRACTION), ([0.0, 0.1], FRACTION), ([1.0, 9.0], POSITIVE)],
)
def test_what_the_plain_interval_gets_wrong_stays_within_bounds(values, bounds):
    plain, found = interval(values), interval(values, bounds)
    assert plain.low < bounds[0] or plain.high > bounds[1]
    assert bounds[0] < found.low < found.mean < found.high < bounds[1]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_fractions_that_are_all_0_or_all_1_have_that_interval(value):
    assert interval([value] * 3, FRACTION) == Interval(value, value, value, 3)


def test_the_interval_of_accuracies_covers_their_mean_about_95_times_in_100():
    rng = np.random.default_rng(0)
    samples = rng.beta(18, 2, (4000, 3)).tolist()
    hits = sum(found.low <= 0.9 <= found.high for found in (interval(values, FRACTION) for values in samples))
    assert 0.93 < hits / 4000 < 0.98


@pytest.mark.parametrize(("values", "bounds"), [([0.5, 1.19], FRACTION), ([-1.0, 2.0], POSITIVE)])
def test_values_that_the_quantity_cannot_have_are_refused(values, bounds):
    with pytest.raises(ValueError, match="cannot average"):
        interval(values, bounds)


def test_the_interval_of_a_difference_is_clipped_to_what_it_can_be():
    assert clipped(Interval(-60.0, -130.0, 10.0, 2), (-100.0, 100.0)) == Interval(-60.0, -100.0, 10.0, 2)
    assert clipped(Interval(5.0, None, None, 1), (-100.0, 100.0)) == Interval(5.0, None, None, 1)


@pytest.mark.parametrize(
    ("quantity", "bounds"),
    [("test_accuracy/0.9", FRACTION), ("validation_accuracy", FRACTION), ("class_tv", FRACTION), ("fcd", POSITIVE),
     ("fcd_validation", POSITIVE), ("validation_loss", POSITIVE), ("seconds", POSITIVE),
     ("auxiliary_loss_before", (-np.inf, np.inf))],
)  # fmt: skip
def test_columns_have_the_bounds_of_their_quantity(quantity, bounds):
    assert bounds_of(quantity) == bounds


def test_one_value_has_a_mean_and_no_interval():
    assert interval([0.5]) == Interval(0.5, None, None, 1)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf")]])
def test_what_cannot_be_averaged_is_refused(values):
    with pytest.raises(ValueError, match="cannot average"):
        interval(values)


def test_a_band_of_accuracies_in_percent_stays_within_0_and_100():
    _, low, high = band([np.array([99.0, 1.0]), np.array([100.0, 0.0])], (0.0, 100.0))
    assert (low > 0).all()
    assert (high < 100).all()


def test_band_is_the_interval_of_each_point():
    curves = [np.array([1.0, 5.0]), np.array([2.0, 5.0]), np.array([6.0, 5.0])]
    mean, low, high = band(curves)
    first = interval([1.0, 2.0, 6.0])
    assert (mean[0], low[0], high[0]) == (first.mean, first.low, first.high)
    assert (mean[1], low[1], high[1]) == (5, 5, 5)


def test_pairs_are_of_seeds_that_both_have():
    assert paired({0: 5, 1: 6, 2: 7}, {2: 1, 0: 2, 9: 0}, lambda a, b: a - b) == {0: 3, 2: 6}
