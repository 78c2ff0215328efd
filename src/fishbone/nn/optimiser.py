"""An optimiser as a value: it can be compared, written to JSON, sent to another party, and made there."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn


@dataclass(frozen=True)
class Optimiser:
    """SGD (with momentum, Nesterov's or not) or Adam (Kingma & Ba 2015, arXiv 1412.6980).

    Args:
        name: the algorithm's, ``sgd`` or ``adam``.
        learning_rate: the step size; a schedule may change it later.
        momentum: of SGD: the share of the last step that is taken again; 0 is plain descent.
        nesterov: whether SGD looks ahead along its momentum.
        weight_decay: factor of the weights that is added to their gradient.
        betas: of Adam: how slowly its means of gradients and of their squares forget, in [0, 1).
        eps: of Adam: what is added to the root of the mean square, against division by zero.

    Examples:
        >>> weight = nn.Parameter(torch.tensor([1.0]))
        >>> optimiser = Optimiser("sgd", learning_rate=0.5).make([weight])
        >>> (3 * weight).sum().backward()
        >>> apply(optimiser)
        >>> weight.tolist()
        [-0.5]
    """

    name: Literal["sgd", "adam"]
    learning_rate: float
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def make(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer | None:
        """A fresh optimiser of these parameters; None where there are none, as in a stage without weights.

        Args:
            parameters: those to be changed, all of them with the same settings.
        """
        found = list(parameters)
        if not found:
            return None
        if self.name == "adam":
            return torch.optim.Adam(
                found, lr=self.learning_rate, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay
            )
        return torch.optim.SGD(
            found, lr=self.learning_rate, momentum=self.momentum, nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )  # fmt: skip


def apply(optimiser: torch.optim.Optimizer | None) -> None:
    """One step on the gradients that have accumulated, which are cleared.

    Args:
        optimiser: as `Optimiser.make` gave it; None, of a module without parameters, does nothing.
    """
    if optimiser is not None:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
