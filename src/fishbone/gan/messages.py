"""What FSL-GAN's server and users say to each other, and the complete list of who may say it.

The first device of a user, which owns the images, is asked for feedback on generated images; its other devices are
helpers, which see activations and gradients. Real images have no message that could carry them.
"""

from dataclasses import dataclass

from torch import Tensor

from fishbone.split.messages import OWNER, Diverged, rules
from fishbone.wire.message import Message
from fishbone.wire.policy import Policy, Rule

SERVER = "server"


@dataclass(frozen=True, eq=False)
class Generated(Message):
    """Generated images (b, C, H, W) in [-1, 1] of step ``step``: learn from them, then judge them."""

    kind = "generated"
    step: int
    images: Tensor


@dataclass(frozen=True, eq=False)
class Feedback(Message):
    """The answer to `Generated`.

    Args:
        step: whose images were judged.
        discriminator_loss: of the pass that the discriminator learnt from, a mean over the user's images, in nats.
        generator_loss: of the pass after it, the same mean.
        gradient: dL/d(images) of that second loss, (b, C, H, W).
    """

    kind = "feedback"
    step: int
    discriminator_loss: float
    generator_loss: float
    gradient: Tensor


POLICY = Policy(
    {
        *rules(SERVER),
        Rule(Generated, SERVER, OWNER),
        Rule(Feedback, OWNER, SERVER),
        Rule(Diverged, OWNER, SERVER),
    }
)
