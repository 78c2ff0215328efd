import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fishbone.data.raw import Labelled, RawData
from fishbone.data.splits import split, stratified, stratified_subset
from fishbone.errors import InputError

LABELS = st.lists(st.integers(0, 5), min_size=10, max_size=200).map(lambda values: np.array(values, dtype=np.int64))
FRACTION = st.floats(0.05, 0.95)


def numbered(labels, start=0):
    """Images whose pixels spell out which sample they are."""
    numbers = np.arange(start, start + len(labels), dtype=">u4").view(np.uint8).reshape(-1, 2, 2, 1)
    return Labelled(numbers, labels)


@given(labels=LABELS, fraction=FRACTION, seed=st.integers(0, 3))
def test_a_cut_takes_of_each_class_its_share_up_to_one_sample(labels, fraction, seed):
    chosen = stratified(labels, fraction, np.random.default_rng(seed))
    assert len(chosen) == len(set(chosen.tolist())) == round(fraction * len(labels))
    counts, whole = np.bincount(labels[chosen], minlength=6), np.bincount(labels, minlength=6)
    assert (np.abs(counts - fraction * whole) < 1 + 1e-9).all()


@given(labels=LABELS, count=st.integers(1, 250), seed=st.integers(0, 3))
def test_a_subset_has_the_size_asked_for_and_every_class_its_share(labels, count, seed):
    chosen = stratified_subset(labels, count, np.random.default_rng(seed))
    assert len(chosen) == len(set(chosen.tolist())) == min(count, len(labels))
    counts, whole = np.bincount(labels[chosen], minlength=6), np.bincount(labels, minlength=6)
    assert (np.abs(counts - whole * len(chosen) / len(labels)) < 1 + 1e-9).all()


@given(labels=LABELS, test_labels=st.none() | LABELS, validation=FRACTION, test=FRACTION, seed=st.integers(0, 2**31))
def test_every_sample_is_in_exactly_one_split(labels, test_labels, validation, test, seed):
    official = None if test_labels is None else numbered(test_labels, start=len(labels))
    raw = RawData(numbered(labels), official, tuple("abcdef"), {})
    try:
        parts = split(raw, seed=seed, validation=validation, test=test)
    except InputError as error:
        assume("would be empty" not in str(error))
        raise
    indices = np.concatenate([parts[name] for name in ("train", "validation", "test")])
    total = len(labels) + (0 if official is None else len(official))
    np.testing.assert_array_equal(np.sort(indices), np.arange(total))
    np.testing.assert_array_equal(parts["images"].reshape(-1, 4).copy().view(">u4")[:, 0], np.arange(total))
    if official is not None:
        np.testing.assert_array_equal(parts["test"], np.arange(len(labels), total))
        np.testing.assert_array_equal(parts["labels"][parts["test"]], test_labels)


def test_the_seed_alone_decides_the_split():
    raw = RawData(numbered(np.arange(100) % 4), None, tuple("abcd"), {})
    first, again, other = (split(raw, seed=seed, validation=0.1, test=0.2) for seed in (3, 3, 4))
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])


def test_a_test_split_that_takes_every_sample_is_refused():
    raw = RawData(numbered(np.zeros(10, dtype=np.int64)), None, ("a",), {})
    with pytest.raises(InputError, match=r"^test: the train split would be empty: .*10 samples \(got 0.95\)"):
        split(raw, seed=0, validation=0.5, test=0.95)


@pytest.mark.parametrize(("validation", "test", "field"), [(0.01, 0.2, "validation"), (0.2, 0.01, "test")])
def test_an_empty_split_names_the_fraction_to_change(validation, test, field):
    raw = RawData(numbered(np.arange(10) % 2), None, ("a", "b"), {})
    with pytest.raises(InputError, match=rf"^{field}: .*10 samples \(got 0.01\)"):
        split(raw, seed=0, validation=validation, test=test)
