from itertools import combinations

import pytest
import torch

from fishbone.gan.messages import Feedback
from fishbone.privacy.audit import RawImageAudit, RawImageFound
from fishbone.split.messages import Activation, Update
from fishbone.wire.message import Envelope

IMAGES = torch.randint(0, 256, (20, 1, 8, 8), generator=torch.Generator().manual_seed(0)) / 127.5 - 1


def envelope(value):
    return Envelope("a", "b", 0, Activation(3, "learn", value))


@pytest.mark.parametrize(
    "value",
    [
        IMAGES,
        IMAGES[7],
        (IMAGES[3:5] + 1) / 2,
        IMAGES[2:3] * 3.7 - 11,
        IMAGES[4].double(),
        torch.cat([torch.randn(1, 1, 8, 8), IMAGES[9:10]]),
        torch.cat([torch.randn(2, 3, 8, 8), IMAGES[:2]], dim=1),
        IMAGES[5].flatten(),
        IMAGES[6].clone().requires_grad_(),
    ],
    ids=["batch", "one", "other range", "other contrast", "other type", "second row", "channel", "flat", "graph"],
)
def test_raw_image_is_found(value):
    with pytest.raises(RawImageFound, match="activation from a to b carries a raw image in its value"):
        RawImageAudit(IMAGES)(envelope(value))


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (Feedback(1, 0.0, 0.0, IMAGES[:2]), "gradient"),
        (Update(1, {"conv": torch.randn(64), "bias": IMAGES[1]}), "weights/bias"),
    ],
    ids=["feedback", "weights"],
)
def test_every_tensor_of_every_message_is_looked_at(message, field):
    with pytest.raises(RawImageFound, match=f"{message.kind} from b to a carries a raw image in its {field}"):
        RawImageAudit(IMAGES)(Envelope("b", "a", 0, message))


@pytest.mark.parametrize(
    "value",
    [
        torch.randn(20, 1, 8, 8),
        torch.randn(20, 63),
        torch.zeros(1, 64),
        torch.full((1, 64), float("nan")),
        torch.zeros(0, 64),
        -IMAGES,
    ],
    ids=["other images", "other size", "constant", "nan", "empty", "negative"],
)
def test_other_tensors_pass(value):
    RawImageAudit(IMAGES)(envelope(value))


LEVELS = torch.arange(256.0).reshape(1, 1, 16, 16)


def test_single_image_is_found():
    with pytest.raises(RawImageFound):
        RawImageAudit(LEVELS)(envelope(LEVELS))


def test_noise_of_less_than_half_a_level_does_not_hide_an_image():
    noise = torch.empty_like(LEVELS).uniform_(-0.49, 0.49, generator=torch.Generator().manual_seed(0))
    noise[0, 0, 0, 0] = noise[0, 0, -1, -1] = 0
    for value in (LEVELS + noise, LEVELS - noise):
        with pytest.raises(RawImageFound):
            RawImageAudit(LEVELS)(envelope(value / 255))


def test_image_with_two_pixels_swapped_is_another():
    pairs = list(combinations(range(256), 2))
    swapped = LEVELS.reshape(1, 256).repeat(len(pairs), 1)
    for row, (one, other) in zip(swapped, pairs, strict=True):
        row[one], row[other] = float(other), float(one)
    RawImageAudit(LEVELS)(envelope(swapped))


def test_hashes_of_images_of_2048_values_are_sums_without_rounding():
    multipliers = RawImageAudit(torch.zeros(1, 2, 32, 32)).multipliers
    assert torch.equal(multipliers, multipliers.round())
    assert 255 * 2048 * int(multipliers.max()) < 2**53


def test_audit_draws_none_of_the_numbers_that_the_run_draws():
    before = torch.get_rng_state()
    RawImageAudit(IMAGES)
    assert torch.equal(torch.get_rng_state(), before)
