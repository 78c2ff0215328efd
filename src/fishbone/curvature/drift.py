"""How far a network's outputs have come from those of the dense network: the divergence, its slope and curvature.

The divergence is the mean over images of KL(p(y | dense outputs) || p(y | outputs)); no label is looked at. At the
dense weights its Hessian is the Fisher matrix F (Martens, arXiv 1412.1193, §5).
"""

import torch
from torch import Tensor, nn

from fishbone.curvature.gradients import Gradients


class Drift:
    """Args:
    gradients: of the images.
    dense: the network that outputs are compared with; only its outputs are kept.
    """

    def __init__(self, gradients: Gradients, dense: nn.Module):
        self.gradients, self.outputs = gradients, gradients.outputs(dense)

    @torch.no_grad()
    def divergence(self, model: nn.Module) -> float:
        """In nats (times the squared temperature of a softmax), mean over images."""
        return self.gradients.likelihood.divergence(self.gradients.outputs(model), self.outputs).item() / len(
            self.gradients
        )

    def gradient(self, model: nn.Module) -> Tensor:
        """Of the divergence with respect to the weights, (d,)."""
        sums = [0.0] * len(self.gradients.layout.names)
        for layers in self.gradients.batches(model, dense=self.outputs):
            for index, layer in enumerate(layers):
                sums[index] = sums[index] + layer.rows().sum((0, 1))
        return self.gradients.layout.join([total / len(self.gradients) for total in sums])

    def curvature(self, model: nn.Module, direction: Tensor) -> float:
        """direction^T F direction for (d,), with F of all layers together at the weights of ``model``."""
        blocks, total = self.gradients.layout.blocks(direction), 0.0
        for layers in self.gradients.batches(model):
            along = sum((layer.rows() * block).sum((2, 3)) for layer, block in zip(layers, blocks, strict=True))
            total += along.double().square().sum().item()
        return total / len(self.gradients)
