"""FishLeg: the inverse Fisher matrix itself is learnt, from its action on Gaussian directions.

Garcia et al. (ICLR 2023) and McGowan et al. (FLS, arXiv 2412.02328). For directions
u ~ N(0, I) and v = M Q M u (M: a mask of weights) the auxiliary loss ½ v^T (F + gamma I) v - u^T v falls to its minimum
where M Q M = (F_MM + gamma I)^-1. Its gradient does not pass through the network a second time: the residual
r = M (F + gamma I) v - u is held fixed and r^T v is differentiated with respect to Q's parameters. F is exact on
the curvature images (`fishbone.curvature.rows.fisher_rows`), layer by layer: Q is block-diagonal, so products between
layers would only add noise. Each layer's Q = D (R^T R ⊗ L L^T) D is one `KroneckerInverse`.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fishbone.curvature.kronecker import KroneckerInverse, auxiliary_loss, kronecker_start
from fishbone.curvature.layout import Layout
from fishbone.curvature.learning import Learning, learn
from fishbone.seeding import torch_generator


class FishLeg:
    """See `fishbone.curvature.protocol.Estimator`.

    `refine` logs ``auxiliary_loss_start`` and ``auxiliary_loss_end``, exact over all u, on images kept apart, times
    gamma / weights: -½ where F = 0, greater where there is curvature; and ``accepted_layers``. A layer whose loss
    did not fall is put back.

    Args:
        layout: the weights.
        rows: model → (images, K, d), as of `fishbone.curvature.rows.fisher_rows`.
        gamma: damping, in units of F.
        learning: how to learn.
        seed: of the directions.
    """

    def __init__(
        self, layout: Layout, rows: Callable[[nn.Module], Tensor], gamma: float, learning: Learning, seed: int
    ):
        self.layout, self.rows, self.gamma, self.learning, self.seed = layout, rows, gamma, learning, seed
        self.support = torch.ones(layout.size, dtype=torch.bool)
        self.layers: list[KroneckerInverse] = []
        self.optimiser: torch.optim.Adam | None = None

    def refine(self, model: nn.Module, mask: Tensor, step: int) -> dict[str, float]:
        rows = self.rows(model)
        held, fit = (self.layout.blocks(part) for part in rows.tensor_split([self.learning.held_out]))
        if not self.layers:
            self._take([kronecker_start(block, self.gamma) for block in fit])
        if self.learning.weights == "active":
            self.support = mask.clone()
        masks = self.layout.blocks(self.support.to(rows.dtype))
        start = end = self._judge(held, masks)
        steps = self.learning.later_steps if step else self.learning.first_steps
        if steps:
            before = [layer.detached() for layer in self.layers]
            generator = torch_generator(self.seed, "auxiliary directions", step)
            learn(self.layers, self.optimiser, fit, masks, self.gamma, self.learning, steps, generator)
            end = self._judge(held, masks)
            self._put_back(before, start, end)
        scale = self.gamma / self.support.sum().item()
        return {
            "auxiliary_loss_start": scale * sum(start),
            "auxiliary_loss_end": scale * sum(map(min, zip(start, end, strict=True))),
            "accepted_layers": sum(now < was for was, now in zip(start, end, strict=True)),
        }

    @torch.no_grad()
    def product(self, vectors: Tensor) -> Tensor:
        pairs = zip(self.layers, self.layout.blocks(vectors), strict=True)
        return self.layout.join([layer.product(block) for layer, block in pairs])

    @torch.no_grad()
    def diagonal(self) -> Tensor:
        return self.layout.join([layer.diagonal() for layer in self.layers])

    def state(self) -> dict[str, Tensor]:
        tensors = {"support": self.support}
        for index, parameter in enumerate(self._parameters()):
            tensors[f"{index}/value"] = parameter.detach()
            tensors |= {f"{index}/{name}": value for name, value in self.optimiser.state[parameter].items()}
        return tensors

    def restore(self, state: dict[str, Tensor]) -> None:
        self.support = state["support"]
        count = 3 * len(self.layout.names)
        values = [state[f"{index}/value"] for index in range(count)]
        self._take([KroneckerInverse(*values[at : at + 3]) for at in range(0, count, 3)])
        for index, parameter in enumerate(self._parameters()):
            moments = {n: state[f"{index}/{n}"] for n in ("step", "exp_avg", "exp_avg_sq") if f"{index}/{n}" in state}
            self.optimiser.state[parameter].update(moments)

    def _parameters(self) -> list[Tensor]:
        return [parameter for layer in self.layers for parameter in layer.parameters]

    def _take(self, layers: list[KroneckerInverse]) -> None:
        """Learn from ``layers`` on, with new moments."""
        self.layers = [KroneckerInverse(*(p.requires_grad_() for p in layer.parameters)) for layer in layers]
        # eps: without preconditioning the gradients are of the order of gamma, far below Adam's usual 1e-8
        self.optimiser = torch.optim.Adam([{"params": [p]} for p in self._parameters()], eps=1e-20)

    @torch.no_grad()
    def _judge(self, held: list[Tensor], masks: list[Tensor]) -> list[float]:
        """Each layer's auxiliary loss on the held-out images."""
        layers = zip(self.layers, held, masks, strict=True)
        return [auxiliary_loss(layer, rows, self.gamma, mask).item() for layer, rows, mask in layers]

    @torch.no_grad()
    def _put_back(self, before: list[KroneckerInverse], start: list[float], end: list[float]) -> None:
        """Undo the layers whose loss did not fall; their moments stay."""
        for layer, old, was, now in zip(self.layers, before, start, end, strict=True):
            if not now < was:
                for parameter, value in zip(layer.parameters, old.parameters, strict=True):
                    parameter.copy_(value)
