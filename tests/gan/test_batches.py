import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fishbone.errors import InputError
from fishbone.gan.batches import noise, positions, share_batch, to_uint8, to_unit_range


@given(st.integers(1, 30), st.integers(1, 40), st.integers(1, 4))
def test_steps_pass_through_every_image_once_an_epoch(count, batch, epochs):
    steps = -(-epochs * count // batch)
    stream = np.concatenate([positions(count, batch, step, 0, "u") for step in range(steps)])[: epochs * count]
    for epoch in stream.reshape(epochs, count):
        assert sorted(epoch) == list(range(count))


def test_order_depends_on_seed_owner_and_epoch():
    def first(*key):
        return positions(50, 50, *key).tolist()

    assert first(0, 0, "u") == first(0, 0, "u")
    others = [first(1, 0, "u"), first(0, 1, "u"), first(0, 0, "v")]
    assert first(0, 0, "u") not in others


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=6), st.integers(0, 100))
def test_batch_is_shared_in_proportion_and_nobody_goes_without(counts, more):
    batch = len(counts) + more
    sizes = share_batch(batch, counts)
    assert sum(sizes) == batch
    assert min(sizes) >= 1
    for count, size in zip(counts, sizes, strict=True):
        exact = batch * count / sum(counts)
        assert size == 1 or size < exact + 1
    if all(size > 1 for size in sizes):
        assert all(abs(batch * n / sum(counts) - size) < 1 for n, size in zip(counts, sizes, strict=True))


def test_batch_smaller_than_the_users_is_refused():
    with pytest.raises(InputError, match="batch"):
        share_batch(2, [10, 10, 10])


def test_images_survive_the_way_there_and_back():
    images = np.arange(256, dtype=np.uint8).reshape(2, 8, 8, 2)
    scaled = to_unit_range(images)
    assert scaled.shape == (2, 2, 8, 8)
    assert (scaled.min(), scaled.max()) == (-1, 1)
    assert np.array_equal(to_uint8(scaled), images)


def test_noise_is_keyed():
    assert torch.equal(noise(3, 4, 0, 7), noise(3, 4, 0, 7))
    assert not torch.equal(noise(3, 4, 0, 7), noise(3, 4, 0, 8))


def test_pixels_are_rounded_and_kept_in_range():
    values = torch.tensor([-2.0, -1.0, 127.4 / 127.5 - 1, 127.6 / 127.5 - 1, 1.0, 2.0])
    assert to_uint8(values.reshape(1, 1, 1, 6)).ravel().tolist() == [0, 0, 127, 128, 255, 255]


def test_the_seed_draws_the_order_and_the_noise_that_it_always_drew():
    assert positions(7, 5, 2, 5, "user1").tolist() == [3, 5, 1, 0, 1]
    expected = torch.tensor([[1.047543, -0.594427], [0.066676, -2.219438]])
    torch.testing.assert_close(noise(2, 2, 5, "a", 1), expected, rtol=0, atol=1e-6)
