import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishbone.data.names import PARTITION
from fishbone.data.partition import dirichlet, iid, partition, quantity, shards
from fishbone.errors import InputError
from fishbone.seeding import numpy_generator

LABELS = np.repeat(np.arange(10), 60)

cases = given(
    seed=st.integers(0, 2**31),
    labels=st.lists(st.integers(0, 9), min_size=40, max_size=300).map(np.array),
    devices=st.integers(1, 10),
    spec=st.sampled_from(["iid", "shards-1", "shards-2", "shards-4", "dirichlet-5", "quantity-0.1", "quantity-10"]),
)


@cases
def test_no_sample_is_placed_twice_and_none_of_the_devices_is_empty(seed, labels, devices, spec):
    parts = partition(spec, labels, devices, numpy_generator(seed))
    placed = np.concatenate(parts)
    assert len(parts) == devices
    assert min(map(len, parts)) > 0
    assert len(np.unique(placed)) == len(placed)
    assert placed.min() >= 0
    assert placed.max() < len(labels)


@cases
def test_only_the_remainder_is_left_out(seed, labels, devices, spec):
    placed = sum(map(len, partition(spec, labels, devices, numpy_generator(seed))))
    unit = {"iid": 1, "shards-1": 1, "shards-2": 2, "shards-4": 4}.get(spec, 0) * devices or 1
    assert len(labels) - placed == len(labels) % unit


@cases
def test_the_same_generator_key_gives_the_same_partition(seed, labels, devices, spec):
    first, second = (partition(spec, labels, devices, numpy_generator(seed)) for _ in range(2))
    assert all(map(np.array_equal, first, second))


def test_iid_and_shards_give_every_device_as_many():
    for parts in (iid(605, 7, numpy_generator(0)), shards(LABELS, 7, 2, numpy_generator(0))):
        assert len({len(part) for part in parts}) == 1


@given(seed=st.integers(0, 10**6), devices=st.integers(5, 30))
def test_two_shards_hold_at_most_four_labels(seed, devices):
    # A shard of at most a class's size touches at most two classes.
    parts = shards(LABELS, devices, 2, numpy_generator(seed))
    assert all(len(np.unique(LABELS[part])) <= 4 for part in parts)


def test_shards_skew_labels_and_iid_does_not():
    held = {
        spec: np.mean([len(np.unique(LABELS[p])) for p in partition(spec, LABELS, 10, numpy_generator(1))])
        for spec in ("iid", "shards-2")
    }
    assert held["iid"] > 9
    assert held["shards-2"] < 4.5


def test_dirichlet_goes_from_one_device_per_class_to_iid_as_concentration_grows():
    def largest_share(alpha):
        """Mean over classes of the largest share that one device holds of a class."""
        parts = dirichlet(LABELS, 4, alpha, numpy_generator(3))
        counts = np.stack([np.bincount(LABELS[part], minlength=10) for part in parts])
        return (counts.max(0) / counts.sum(0)).mean()

    assert largest_share(1e4) == pytest.approx(1 / 4, abs=0.02)
    assert largest_share(0.5) > 0.4
    assert largest_share(1e-3) > 0.97


def test_dirichlet_shares_of_a_class_average_to_an_equal_share():
    shares = [
        [len(part) / len(LABELS) for part in dirichlet(LABELS, 5, 1.0, numpy_generator(seed))] for seed in range(200)
    ]
    # Standard error of a mean of 200 device shares: sqrt(0.16 / 6 / 10 / 200) = 0.004.
    assert np.allclose(np.mean(shares, 0), 0.2, atol=0.016)


def test_quantity_skews_amounts_but_not_labels():
    labels = np.arange(20_000) % 10
    parts = quantity(len(labels), 8, 0.5, numpy_generator(0))
    sizes = np.array([len(part) for part in parts])
    assert sizes.max() > 3 * np.median(sizes)
    largest = np.bincount(labels[parts[sizes.argmax()]], minlength=10) / sizes.max()
    assert np.allclose(largest, 0.1, atol=0.02)


@pytest.mark.parametrize("spec", ["iid", "shards-2", "dirichlet-1", "quantity-1"])
def test_more_devices_than_samples_is_an_input_error(spec):
    with pytest.raises(InputError, match="cannot fill"):
        partition(spec, np.arange(5), 6, numpy_generator(0))


def test_a_concentration_that_starves_devices_is_an_input_error():
    with pytest.raises(InputError, match=r"0\.001.*Raise it"):
        dirichlet(LABELS, 30, 0.001, numpy_generator(0))


def test_no_devices_is_an_empty_partition():
    assert partition("shards-2", LABELS, 0, numpy_generator(0)) == []


@pytest.mark.parametrize(
    ("spec", "known"),
    [("iid", True), ("shards-2", True), ("dirichlet-0.5", True), ("dirichlet-1.0", True), ("quantity-.5", True)]
    + [(spec, False) for spec in ("", "IID", "shards", "shards-0", "dirichlet-0.0", "dirichlet-0", "quantity--1")],
)
def test_the_pattern_takes_exactly_the_specs_that_mean_something(spec, known):
    assert bool(re.match(PARTITION, spec)) == known
