"""What the network's outputs mean: the curvature of -log p(y | outputs) and its gradient.

Outputs are (B, C), targets as each class says. With H the Hessian of -log p with respect to one image's outputs,
the Fisher matrix of the weights is F = mean J^T H J, J the Jacobian of the outputs (Martens, arXiv 1412.1193, §9:
for these likelihoods the Fisher and the Gauss-Newton matrix are one). ``root`` gives S with S S^T = H, so that no
label needs to be sampled.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Likelihood(Protocol):
    """What a network's outputs (B, C) mean: a distribution of the target of each input."""

    def root(self, outputs: Tensor) -> Tensor:
        """Return S, (B, C, C), for outputs (B, C)."""

    def residual(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the gradient of -log p(targets | outputs) with respect to the outputs, (B, C)."""

    def divergence(self, outputs: Tensor, dense: Tensor) -> Tensor:
        """Return KL(p(y | dense) || p(y | outputs)) in nats, summed over the batch; its Hessian at ``dense`` is H."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return -log p(targets | outputs) in nats but for a constant, summed over the batch."""


@dataclass(frozen=True)
class Softmax:
    """Classes by their logits; targets (B,) int64. H = diag p - p p^T, S = diag √p - p √p^T.

    Attributes:
        temperature: H takes p = softmax(logits / temperature). 1 is the Fisher matrix. Where a network is sure of all
            its training images H vanishes but on a few of them, and F forgets what holds the others in place; a higher
            temperature lets all count, towards one weight for every logit. The loss and its gradient stay as they are;
            the divergence is the square of the temperature times that at this temperature.

    Examples:
        >>> root = Softmax().root(torch.zeros(1, 2))  # p = (½, ½)
        >>> root @ root.mT
        tensor([[[ 0.2500, -0.2500],
                 [-0.2500,  0.2500]]])
    """

    temperature: float = 1.0

    def root(self, outputs: Tensor) -> Tensor:
        """S = diag √p - p √p
        T, (B, C, C).
        """
        p = (outputs / self.temperature).softmax(1)
        root = p.sqrt()
        return torch.diag_embed(root) - p[:, :, None] * root[:, None, :]

    def residual(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """p - one-hot(targets), (B, C), at temperature 1."""
        return outputs.softmax(1) - F.one_hot(targets, outputs.shape[1])

    def divergence(self, outputs: Tensor, dense: Tensor) -> Tensor:
        """T² KL(p(dense / T) ‖ p(outputs / T)), summed over the batch."""
        now, then = ((z / self.temperature).log_softmax(1) for z in (outputs, dense))
        return self.temperature**2 * F.kl_div(now, then, reduction="sum", log_target=True)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy in nats, summed over the batch."""
        return F.cross_entropy(outputs, targets, reduction="sum")


@dataclass(frozen=True)
class Gaussian:
    """Real outputs with this variance; targets as the outputs. H = I / variance."""

    variance: float = 1.0

    def root(self, outputs: Tensor) -> Tensor:
        """S = I / √variance, (B, C, C)."""
        return torch.diag_embed(torch.full_like(outputs, self.variance**-0.5))

    def residual(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """(outputs - targets) / variance, (B, C)."""
        return (outputs - targets.reshape(outputs.shape)) / self.variance

    def divergence(self, outputs: Tensor, dense: Tensor) -> Tensor:
        """½ ‖outputs - dense‖² / variance, summed over the batch."""
        return self.loss(outputs, dense)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """½ ‖outputs - targets‖² / variance, summed over the batch."""
        return 0.5 * (self.residual(outputs, targets) ** 2).sum() * self.variance


@dataclass(frozen=True)
class Bernoulli:
    """Independent yes-no outputs by their logits; targets in [0, 1]. H = diag p (1 - p)."""

    def root(self, outputs: Tensor) -> Tensor:
        """S = diag √(p (1 - p)), (B, C, C)."""
        p = outputs.sigmoid()
        return torch.diag_embed((p * (1 - p)).sqrt())

    def residual(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """p - targets, (B, C)."""
        return outputs.sigmoid() - targets.reshape(outputs.shape)

    def divergence(self, outputs: Tensor, dense: Tensor) -> Tensor:
        """KL of the outputs from the dense ones, summed over outputs and batch."""
        p = dense.sigmoid()
        return self.loss(outputs, p) - self.loss(dense, p)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy in nats, summed over outputs and batch."""
        return F.binary_cross_entropy_with_logits(outputs, targets.reshape(outputs.shape), reduction="sum")


LIKELIHOODS: dict[str, Likelihood] = {"softmax": Softmax(), "gaussian": Gaussian(), "bernoulli": Bernoulli()}
