"""The first device of a user: it holds the user's images and the first layers of its discriminator.

Per step (alternating, as in Goodfellow et al. 2014, Algorithm 1, with one discriminator step): the discriminator
learns from real and generated images, joined into one batch, the real ones first; the stepped discriminator then
judges the same generated images again, and dL_G/dx_f goes back to the server. The losses are computed on
the last device, where the logits are. No label of the data is ever used.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fishbone.errors import Malformed
from fishbone.gan import losses
from fishbone.gan.batches import positions
from fishbone.gan.messages import Feedback, Generated
from fishbone.split.messages import Begin, Diverged, Finish
from fishbone.split.passes import Pass, asked_for
from fishbone.split.segment import Segment, SegmentState
from fishbone.wire.actor import Link, Packed
from fishbone.wire.message import Envelope, Message

PASSES = {
    "learn": Pass(lambda logits, step: losses.discriminator(logits), learn=True),
    "feedback": Pass(lambda logits, step: losses.generator(logits), learn=False),
}


@dataclass(frozen=True, eq=False)
class Owner:
    """The actor; see the module's docstring.

    Args:
        name: of the user; with the seed it decides the order of the images.
        segment: the first layers of the user's discriminator.
        images: (n, C, H, W) in [-1, 1], which never leave.
        batch: how many of them a step takes.
        seed: decides the order of the images; the same seed gives the same order.
    """

    name: str
    segment: Segment
    images: Tensor
    batch: int
    seed: int

    @property
    def role(self) -> str:
        """That of its segment, the first of the chain."""
        return self.segment.role

    def start(self) -> SegmentState:
        """No session was finished."""
        return self.segment.start()

    def handle(self, state: SegmentState, request: Envelope, link: Link) -> tuple[SegmentState, Message]:
        """Answer `Begin`, `Generated` and `Finish`.

        Raises:
            LinkError: the message does not fit the session, or a helper gave no usable answer.
        """
        match request.message:
            case Begin() | Finish():
                return self.segment.handle(state, request, link)
            case Generated(step=step, images=images) if images.shape == (self.batch, *self.images.shape[1:]):
                return state, self._play(state, step, images, link)
            case message:
                raise Malformed(f"the owner of {self.batch} images a step has no answer to this {message.kind}")

    def pack(self, state: SegmentState) -> Packed:
        """See `Segment.pack`; the images are no progress."""
        return self.segment.pack(state)

    def unpack(self, packed: Packed) -> SegmentState:
        """Inverse of `pack`."""
        return self.segment.unpack(packed)

    def _play(self, state: SegmentState, step: int, generated: Tensor, link: Link) -> Feedback | Diverged:
        chosen = self.images[positions(len(self.images), self.batch, step, self.seed, self.name)]
        pair = torch.cat([chosen, generated])
        link = self.segment.within(state, link)
        learnt = self.segment.run(state, step, "learn", pair, link, input_gradient=False)
        if isinstance(learnt, Diverged):
            return learnt
        fooled = self.segment.run(state, step, "feedback", generated, link)
        return fooled if isinstance(fooled, Diverged) else Feedback(step, learnt[0], fooled[0], asked_for(fooled))
