import pytest
import torch
from fishbone.split.wire import Message, Route

from fishbone.privacy.audit import RawImageAudit

IMAGES = torch.randint(0, 256, (20, 1, 8, 8), generator=torch.Generator().manual_seed(0)) / 127.5 - 1


def message(payload):
    return Message(Route("activation", "a", "b"), "3 learn", payload)


@pytest.mark.parametrize(
    "payload",
    [
        IMAGES,
        IMAGES[7],
        (IMAGES[3:5] + 1) / 2,
        IMAGES[2:3] * 3.7 - 11,
        IMAGES[4].double(),
        torch.cat([torch.randn(1, 1, 8, 8), IMAGES[9:10]]),
        torch.cat([torch.randn(2, 3, 8, 8), IMAGES[:2]], dim=1),
        IMAGES[5].flatten(),
    ],
    ids=["batch", "one", "other range", "other contrast", "other type", "second row", "channel", "flat"],
)
def test_raw_image_is_found(payload):
    with pytest.raises(RuntimeError, match="activation '3 learn' from a to b is a raw image"):
        RawImageAudit(IMAGES)(message(payload))


@pytest.mark.parametrize(
    "payload",
    [torch.randn(20, 1, 8, 8), torch.randn(20, 63), torch.zeros(1, 64), torch.full((1, 64), float("nan")), -IMAGES],
    ids=["other images", "other size", "constant", "nan", "negative"],
)
def test_other_payloads_pass(payload):
    RawImageAudit(IMAGES)(message(payload))
