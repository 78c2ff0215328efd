"""Wire audit: no message may carry a raw training image.

Every payload whose size is a multiple of an image's is cut into pieces of that size; each piece is rescaled to
[0, 255], rounded and hashed, so an image is found at any brightness and contrast and inside a longer payload.
It is not found when cropped, permuted or mixed with others: this guards the protocol, it does not prove privacy.
"""

import torch
from torch import Tensor

from fishbone.seeding import torch_generator
from fishbone.split.wire import Message


class RawImageAudit:
    """Observer of a `Wire`.

    Args:
        images: (N, C, H, W) of all users; only hashes are kept.
    """

    def __init__(self, images: Tensor):
        self.size = images[0].numel()
        # Integers below 2³⁴ times 8-bit levels: float64 sums are exact while an image has at most 2¹¹ values, and
        # beyond it a rounding difference can only miss an image, never accuse a message.
        self.multipliers = torch.randint(2**34, (self.size,), generator=torch_generator(0, "audit")).double()
        self.known = frozenset(self._hashes(images))

    def __call__(self, message: Message) -> None:
        """Raises RuntimeError if the message carries a training image."""
        if message.payload.numel() % self.size == 0 and not self.known.isdisjoint(self._hashes(message.payload)):
            route = message.route
            raise RuntimeError(f"{route.kind} {message.tag!r} from {route.sender} to {route.receiver} is a raw image")

    def _hashes(self, payload: Tensor) -> list[float]:
        """Linear hash of each piece's 8-bit levels; NaN, which equals nothing, where a piece is constant."""
        pieces = payload.float().reshape(-1, self.size)
        low, high = pieces.aminmax(dim=1, keepdim=True)
        levels = (pieces - low).mul_(255 / (high - low)).round_()
        return (levels.double() @ self.multipliers).tolist()
