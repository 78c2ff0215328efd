"""How far a network's outputs have come from those of the dense network: the divergence, its slope and curvature.

The divergence is the mean over images of KL(p(y | dense outputs) || p(y | outputs)); no label is looked at. At the
dense weights its Hessian is the Fisher matrix F (Martens, arXiv 1412.1193, §5). The model is in eval mode meanwhile.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fishbone.curvature.gradients import Gradients
from fishbone.nn.evaluate import evaluating

BATCH = 100


class Drift:
    """Measures the divergence from a dense network's outputs.

    Args:
        gradients: give layout, images and likelihood; backward passes are counted there.
        dense: the network that outputs are compared with; only its outputs are kept.
    """

    def __init__(self, gradients: Gradients, dense: nn.Module) -> None:
        self.gradients, self.layout = gradients, gradients.layout
        self.outputs = self._outputs(dense, self.layout.read(dense))

    def divergence(self, model: nn.Module) -> float:
        """Return the model's divergence in nats (times the squared temperature of a softmax)."""
        outputs = self._outputs(model, self.layout.read(model))
        return self.gradients.likelihood.divergence(outputs, self.outputs).item() / len(outputs)

    def gradient(self, model: nn.Module) -> Tensor:
        """Return the gradient of the divergence with respect to the weights, (d,)."""
        weights = {name: w.requires_grad_() for name, w in self.layout.tensors(self.layout.read(model)).items()}
        total = torch.zeros(())
        with evaluating(model), torch.enable_grad():
            for images, dense in zip(self.gradients.inputs.split(BATCH), self.outputs.split(BATCH), strict=True):
                outputs = functional_call(model, weights, (images,)).flatten(1)
                loss = self.gradients.likelihood.divergence(outputs, dense)
                parts = torch.autograd.grad(loss, tuple(weights.values()))
                total = total + torch.cat([part.flatten() for part in parts])
        self.gradients.backward += len(self.outputs)
        return total / len(self.outputs)

    def curvature(self, model: nn.Module, direction: Tensor) -> float:
        """Return direction^T F direction, with F of all layers together at the weights of ``model``.

        J direction comes from central differences of the outputs, which is cheaper than forward-mode differentiation.

        Args:
            model: the network, as it is.
            direction: (d,), a change of the prunable weights.
        """
        length = direction.norm()
        if length == 0:
            return 0.0
        width = torch.finfo(direction.dtype).eps ** (1 / 3)  # balances truncation and rounding
        weights, offset = self.layout.read(model), direction * (width / length)
        ends = (self._outputs(model, weights + sign * offset).split(BATCH) for sign in (1, -1))
        total = 0.0
        for ahead, behind in zip(*ends, strict=True):
            change = (ahead - behind) * (length / (2 * width))
            root = self.gradients.likelihood.root((ahead + behind) / 2)
            total += ((root.mT @ change[..., None]) ** 2).sum().item()
        return total / len(self.outputs)

    @torch.no_grad()
    def _outputs(self, model: nn.Module, weights: Tensor) -> Tensor:
        """(N, C) at these weights (d,)."""
        tensors = self.layout.tensors(weights)
        with evaluating(model):
            batches = self.gradients.inputs.split(BATCH)
            return torch.cat([functional_call(model, tensors, (images,)).flatten(1) for images in batches])
