"""What an estimator of the inverse Fisher matrix offers; pruning knows nothing else about it.

Q is a symmetric positive definite model of (F + gamma I)^-1 over the d weights of a `Layout`, held inside the
estimator. Vectors are (d,) or (…, d) in the layout's order; masks are boolean (d,), True for weights still active.
"""

from typing import Protocol

from torch import Tensor, nn


class Estimator(Protocol):
    """An inverse Fisher matrix that can be brought up to date while a network is being pruned.

    Attributes:
        support: (d,) boolean; Q restricted to these weights is the model of the damped inverse there. All of it while
            Q covers the whole network; the active weights for estimators that restrict F to them before inverting.
        parts: sizes of the consecutive parts, d in all, that Q does not couple: compensation is solved part by part.
    """

    support: Tensor
    parts: list[int]

    def refine(self, model: nn.Module, mask: Tensor, step: int) -> dict[str, float]:
        """Fit Q to ``model`` as it is now, which is left as it was.

        Args:
            mask: the weights still active.
            step: number of pruning steps already taken; keys this call's random draws.

        Returns:
            What is worth a column in the history; the same keys on every call.
        """

    def product(self, vectors: Tensor, part: int) -> Tensor:
        """Q v for (…, parts[part]) vectors of one part, in their precision."""

    def diagonal(self, part: int) -> Tensor:
        """diag Q of one part, (parts[part],), strictly positive."""

    def blocks(self, positions: Tensor, part: int) -> Tensor:
        """Q of groups of weights, (G, c, c).

        Args:
            positions: (G, c) int64, within the part; a group's weights belong to one output.
            part: the part's place in ``parts``.
        """

    def state(self) -> dict[str, Tensor]:
        """Everything that `restore` needs to go on bit-identically."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up a state that `state` gave."""
