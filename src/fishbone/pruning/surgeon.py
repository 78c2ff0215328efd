"""The multi-step surgeon: rank, remove, compensate jointly, refine the curvature, again; no weight is retrained.

An *anchor* is the network at which Q was last refined. Every step solves jointly for all weights that are gone,
starting from the anchor: with Q of the whole network this is the exact down-date
(F_RR + gamma)^-1 = Q_RR - Q_RP Q_PP^-1 Q_PR that plain re-use of Q_RR would miss.
Weights outside the estimator's support are already out of its Q and stay out of the solve.
"""

import torch
from torch import Tensor, nn

from fishbone.curvature.layout import Layout
from fishbone.curvature.protocol import Estimator
from fishbone.pruning.compensation import Solver, compensate
from fishbone.pruning.masks import keep, saliency


class Surgeon:
    """Prunes ``model`` in place, step by step.

    Args:
        model: the trained network; only the layout's weights change.
        layout: the weights that may go.
        estimator: the inverse Fisher matrix.
        solver: of the joint compensation.
        refine_every: steps from one refinement of the estimator, and so from one anchor, to the next.
    """

    def __init__(self, model: nn.Module, layout: Layout, estimator: Estimator, solver: Solver, refine_every: int):
        self.model, self.layout, self.estimator, self.solver = model, layout, estimator, solver
        self.refine_every = refine_every
        self.steps = 0
        self.mask = torch.ones(layout.size, dtype=torch.bool)
        self.anchor = layout.read(model)

    def prune(self, sparsity: float) -> dict[str, float]:
        """One step: afterwards exactly floor(sparsity * d) weights are zero. Returns the step's log."""
        log = {}
        if self.steps % self.refine_every == 0:
            self.anchor = self.layout.read(self.model)
            log = self.estimator.refine(self.model, self.mask, self.steps)
        diagonal = self.estimator.diagonal()
        self.mask = keep(saliency(self.layout.read(self.model), diagonal), self.mask, sparsity)
        removed = self.estimator.support & ~self.mask
        change = compensate(self.estimator.product, diagonal, self.anchor, removed, self.solver)
        self.layout.write(self.model, torch.where(self.mask, change.weights, 0))
        self.steps += 1
        return {"predicted_loss": change.loss, "residual": change.residual, **log}

    @property
    def masks(self) -> dict[str, Tensor]:
        """The mask in the layers' own shapes, by name of the weight."""
        return self.layout.tensors(self.mask)

    def state(self) -> dict[str, Tensor]:
        """Everything beside the model and the arguments; `restore` takes it up."""
        own = {"mask": self.mask, "anchor": self.anchor}
        estimator = {f"estimator/{name}": value for name, value in self.estimator.state().items()}
        return own | estimator | {"weights": self.layout.read(self.model), "steps": torch.tensor(self.steps)}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.mask, self.anchor = state["mask"], state["anchor"]
        self.layout.write(self.model, state["weights"])
        self.steps = int(state["steps"])
        prefix = "estimator/"
        self.estimator.restore({n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)})
