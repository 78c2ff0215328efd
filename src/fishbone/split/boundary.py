"""One stage of a network that is cut over devices, with an exact boundary.

The boundary detaches: a stage receives numbers, never a graph. Forward: the received activation
becomes a leaf; backward: the received gradient dL/d(output) is pushed through the stage and
dL/d(input) is returned for the stage before it. By the chain rule this is the whole network's
gradient, bit for bit on one host (Vepakomma et al. 2018, arXiv 1812.00564).
"""

import torch
from torch import Tensor, nn

from fishbone.errors import StageError
from fishbone.nn.optimiser import apply


class Stage:
    """A module on one device: the forward pass, the backward pass and its own optimiser.

    Several forward passes may be outstanding (micro-batches, real and generated images); each is
    named by ``tag`` and finished by exactly one `backward` with the same tag.

    Args:
        module: the layers of this stage.
        optimiser: steps their parameters; None where there are none.

    Examples:
        Two stages give the gradient of the whole network:

        >>> first, second = Stage(nn.Linear(2, 3)), Stage(nn.Linear(3, 1))
        >>> x = torch.ones(4, 2)
        >>> output = second.forward(first.forward(x))
        >>> gradient = first.backward(second.backward(torch.ones_like(output)))
        >>> whole = nn.Sequential(first.module, second.module)
        >>> torch.allclose(gradient, torch.autograd.functional.jacobian(lambda x: whole(x).sum(), x))
        True
    """

    def __init__(self, module: nn.Module, optimiser: torch.optim.Optimizer | None = None) -> None:
        self.module = module
        self.optimiser = optimiser
        self._pending: dict[str, tuple[Tensor, Tensor]] = {}

    def forward(self, received: Tensor, tag: str = "", input_gradient: bool = True) -> Tensor:
        """Activation (B, …) to send to the next stage; carries no graph.

        Args:
            received: (B, …), the input of the stage.
            tag: the pass's name; after its `backward` it may be used again.
            input_gradient: False where no stage comes before and nobody asks for dL/d(input): it is not computed.

        Raises:
            StageError: a forward pass with this tag still waits for its gradient.
        """
        if tag in self._pending:
            raise StageError(f"forward {tag!r} still waits for its backward pass")
        leaf = received.detach().requires_grad_(input_gradient and received.is_floating_point())
        # A leaf that wants a gradient may not be changed in place, as a first layer ``ReLU(inplace=True)`` would.
        output: Tensor = self.module(leaf.clone())
        self._pending[tag] = (leaf, output)
        return output.detach()

    def backward(self, gradient: Tensor, tag: str = "", weight_gradients: bool = True) -> Tensor | None:
        """dL/d(input), of the input's shape, or None if it was not asked for; parameter gradients accumulate.

        Args:
            gradient: dL/d(output), of the output's shape.
            tag: the name that the forward pass was given.
            weight_gradients: False where only dL/d(input) is wanted: parameter gradients are left as they were.

        Raises:
            StageError: no forward pass with this tag, or the gradient has another shape.
        """
        if tag not in self._pending:
            raise StageError(f"no forward pass {tag!r} waits for a gradient")
        leaf, output = self._pending.pop(tag)
        if gradient.shape != output.shape:
            raise StageError(f"gradient {tuple(gradient.shape)} for output {tuple(output.shape)}")
        if not weight_gradients:
            return torch.autograd.grad(output, leaf, gradient)[0]
        if output.requires_grad:
            torch.autograd.backward(output, gradient)
        return leaf.grad

    def step(self) -> None:
        """Apply and clear the accumulated gradients; a stage without parameters does nothing."""
        apply(self.optimiser)
