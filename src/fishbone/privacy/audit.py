"""Wire audit: no message may carry a raw training image.

Every tensor whose size is a multiple of an image's is cut into pieces of that size; each piece is rescaled to
[0, 255], rounded and hashed, so an image is found at any brightness and contrast and inside a longer tensor.
It is not found when negated, flipped, transposed, cropped, permuted, quantised to other levels, spread over several
tensors, mixed with others or with noise that moves a level, nor with a label appended: this guards the protocol against
mistakes, it does not prove privacy and does not hold against a party that hides what it sends.
"""

import torch
from torch import Tensor

from fishbone.errors import FishboneError
from fishbone.seeding import torch_generator
from fishbone.wire.message import Envelope


class RawImageFound(FishboneError):
    """A training image was about to leave its owner; the run must end."""


class RawImageAudit:
    """An observer of every message on a carrier, replies included.

    Args:
        images: (N, C, H, W) of all users; only hashes are kept.
    """

    def __init__(self, images: Tensor) -> None:
        self.size = images[0].numel()
        # Integers below 2³⁴ times 8-bit levels: float64 sums are exact while an image has at most 2¹¹ values, and
        # beyond it a rounding difference can only miss an image, never accuse a message.
        self.multipliers = torch.randint(2**34, (self.size,), generator=torch_generator(0, "audit")).double()
        self.known = frozenset(self._hashes(images))

    def __call__(self, envelope: Envelope) -> None:
        """Let a message without training images pass.

        Raises:
            RawImageFound: a tensor of the message carries one.
        """
        for name, tensor in envelope.message.tensors():
            if tensor.numel() % self.size == 0 and not self.known.isdisjoint(self._hashes(tensor.detach())):
                where = f"from {envelope.sender} to {envelope.receiver}"
                raise RawImageFound(f"{envelope.message.kind} {where} carries a raw image in its {name}")

    def _hashes(self, values: Tensor) -> list[float]:
        """Linear hash of each piece's 8-bit levels; NaN, which equals nothing, where a piece is constant."""
        pieces = values.float().reshape(-1, self.size)
        low, high = pieces.aminmax(dim=1, keepdim=True)
        levels = (pieces - low).mul_(255 / (high - low)).round_()
        return (levels.double() @ self.multipliers).tolist()
