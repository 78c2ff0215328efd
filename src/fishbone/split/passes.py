"""One pass of a chain: what it is for, its loss at the end, and the questions on the way."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fishbone.errors import Malformed
from fishbone.split.messages import Activation, Diverged, Gradient, What
from fishbone.wire.actor import Link
from fishbone.wire.checks import alike, finite

Passed = tuple[float, Tensor | None]
"""The loss, and dL/d(input), or None where nobody asked for it."""


@dataclass(frozen=True)
class Pass:
    """What a pass is for.

    Args:
        loss: of the network's output (B, …) and the step's number; a scalar.
        learn: whether parameters are stepped; else only dL/d(input) is wanted.
    """

    loss: Callable[[Tensor, int], Tensor]
    learn: bool


def judge(what: Pass, step: int, output: Tensor) -> Gradient | Diverged:
    """Loss and dL/d(output) of the network's output (B, …)."""
    leaf = output.detach().requires_grad_()
    loss = what.loss(leaf, step)
    if stopped := diverged("loss", loss.detach()):
        return stopped
    return Gradient(loss.item(), torch.autograd.grad(loss, leaf)[0])


def ask(link: Link, address: str, activation: Activation) -> Gradient | Diverged:
    """What the party there says to an activation.

    Raises:
        LinkError: no usable answer.
    """
    match link.ask(address, activation):
        case Diverged() as answer:
            return answer
        case Gradient() as answer if math.isfinite(answer.loss) and alike({"": answer.value}, {"": activation.value}):
            return answer
        case answer:
            raise Malformed(f"{answer.kind} from {address} is no finite gradient of what it was asked with")


def diverged(what: What, tensor: Tensor) -> Diverged | None:
    """What is said in place of this tensor, or of what came of it; None where all of it is finite."""
    return None if finite(tensor) else Diverged(what, tensor.abs().max().item())


def asked_for(found: Passed) -> Tensor:
    """The gradient of a pass that was run to get it."""
    gradient = found[1]
    assert gradient is not None
    return gradient
