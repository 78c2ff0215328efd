"""Pruning step by step: rank, remove, compensate, refine the curvature, again; no weight is retrained here.

An *anchor* is the network at which Q was last refined. With ``anchored`` compensation every step solves jointly for
all weights that are gone, starting from the anchor: with Q of the whole network this is the exact down-date
(F_RR + gamma)^-1 = Q_RR - Q_RP Q_PP^-1 Q_PR that plain re-use of Q_RR would miss.
Weights outside the estimator's support are already out of its Q and stay out of the solve. The ranking takes diag Q as
it stands: without the down-date, unless the estimator is refined before every step.

The quadratic model is wrong far from the anchor. With a *first-order term* every step ends by moving anchor and weights
by -a Q g, where g is the gradient of the divergence from the dense network's outputs at the weights as they are: a
natural gradient step of the active weights, which takes back what the model got wrong and does nothing where it is
right. As Q leaves out the curvature between layers, the step size a is first the exact minimiser along the step
(Martens & Grosse, arXiv 1503.05671, §6.4), at most 1, and then halved until the divergence falls. No label is looked
at.
"""

import functools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from fishbone.curvature.drift import Drift
from fishbone.curvature.layout import Layout
from fishbone.curvature.protocol import Estimator
from fishbone.nn.pack import pack, under, unpack
from fishbone.pruning.compensation import Compensation, Solver, compensate, independent
from fishbone.pruning.cost import hand_back
from fishbone.pruning.masks import group_losses, saliency, surviving
from fishbone.pruning.methods import Ranking, Update
from fishbone.pruning.patterns import UNSTRUCTURED, Pattern, groups

HALVINGS = 10  # of the first-order term's step, before it is given up


@dataclass(frozen=True)
class Surgery:
    """What a step does with the curvature; the same choices for every estimator.

    Attributes:
        ranking: ``saliency`` θ² / (2 diag Q), of blocks and channels ½ θ_G^T (Q_GG)^-1 θ_G; or ``magnitude``.
        compensation: of the other weights: ``none``; ``independent``, the sum of every removed weight's own update, as
            WoodFisher, oBERT and M-FAC publish it; ``joint``, solved for all weights that the step removes;
            ``anchored``, solved for all weights removed since Q was fitted, from the weights it was fitted at.
        refine_every: steps from one refinement of the estimator, and so from one anchor, to the next.
        solver: when a joint compensation's solver stops.
        pattern: which weights go together.
        scope: ``global`` ranks over all layers; ``layer`` takes the same sparsity in each.
    """

    ranking: Ranking
    compensation: Update
    refine_every: int
    solver: Solver
    pattern: Pattern = UNSTRUCTURED
    scope: Literal["global", "layer"] = "global"


class Pruner:
    """Prunes ``model`` in place, step by step.

    Args:
        model: the trained network; only the layout's weights change.
        layout: the weights that may go.
        estimator: the inverse Fisher matrix, not yet fitted.
        surgery: what to do with it.
        drift: distance from the dense network, of the first-order term; None leaves that out.
    """

    def __init__(
        self,
        model: nn.Module,
        layout: Layout,
        estimator: Estimator,
        surgery: Surgery,
        drift: Drift | None = None,
    ) -> None:
        self.model, self.layout, self.estimator, self.surgery = model, layout, estimator, surgery
        self.drift = drift
        self.steps = 0
        self.mask = torch.ones(layout.size, dtype=torch.bool)
        self.anchor = layout.read(model)

    def prune(self, sparsity: float) -> dict[str, float]:
        """Take one step: afterwards the pattern's count of weights for this sparsity is zero. Returns its log."""
        log: dict[str, float] = {}
        if self.steps % self.surgery.refine_every == 0:
            self.anchor = self.layout.read(self.model)
            log = self.estimator.refine(self.model, self.mask, self.steps)
        before, surgery = self.mask, self.surgery
        hand_back()  # what the pass over the images has freed
        self.mask = surviving(self._scores(), before, sparsity, self.layout, surgery.pattern, surgery.scope)
        change = self._compensate(before)
        self.layout.write(self.model, change.weights.masked_fill_(~self.mask, 0))
        self.steps += 1
        if self.drift is not None:
            log["divergence"] = self._correct(self.drift)
        return {"predicted_loss": change.loss, "residual": change.residual, **log}

    def _correct(self, drift: Drift) -> float:
        """Take the first-order term's step, unless no size of it is any good. Returns the divergence that is left."""
        if self.mask.all():
            return drift.divergence(self.model)
        gradient = torch.where(self.mask, drift.gradient(self.model), 0)
        parts = gradient.split(self.estimator.parts)
        step = torch.cat([self.estimator.product(own, part) for part, own in enumerate(parts)])
        removed = self.estimator.support & ~self.mask
        step = torch.where(self.mask, compensate(self.estimator, step, removed, self.surgery.solver).weights, 0)
        slope, curvature = (gradient @ step).item(), drift.curvature(self.model, step)
        present, before = self.layout.read(self.model), drift.divergence(self.model)
        size = slope / max(curvature, slope) if slope > 0 else 0.0
        for _ in range(HALVINGS if size else 0):
            self.layout.write(self.model, present - size * step)
            after = drift.divergence(self.model)
            if after < before:
                self.anchor = self.anchor - size * step
                return after
            size /= 2
        self.layout.write(self.model, present)
        return before

    def _scores(self) -> Tensor:
        scores = self.layout.read(self.model)
        if self.surgery.ranking == "magnitude":
            return scores.abs_()
        grouped = self.surgery.pattern.kind in ("block", "channels")
        group = groups(self.layout, self.surgery.pattern).split(self.estimator.parts) if grouped else ()
        for part, own in enumerate(scores.split(self.estimator.parts)):  # weights, which their scores replace
            if grouped:
                blocks = functools.partial(self.estimator.blocks, part=part)
                own.copy_(group_losses(own, group[part], blocks))
            else:
                own.copy_(saliency(own, self.estimator.diagonal(part)))
        return scores

    def _compensate(self, before: Tensor) -> Compensation:
        kind, inverse = self.surgery.compensation, self.estimator
        if kind == "anchored":
            return compensate(inverse, self.anchor, self.estimator.support & ~self.mask, self.surgery.solver)
        present, removed = self.layout.read(self.model), before & ~self.mask
        if kind == "joint":
            return compensate(inverse, present, removed, self.surgery.solver)
        return independent(inverse, present, removed, update=kind == "independent")

    @property
    def masks(self) -> dict[str, Tensor]:
        """The mask in the layers' own shapes, by name of the weight."""
        return self.layout.tensors(self.mask)

    def state(self) -> dict[str, Tensor]:
        """Everything beside the arguments; `restore` takes it up."""
        own = {"mask": self.mask, "anchor": self.anchor, "steps": torch.tensor(self.steps)}
        estimator = {f"estimator/{name}": value for name, value in self.estimator.state().items()}
        return own | estimator | pack("network", self.model)

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up a state that `state` gave."""
        self.mask, self.anchor = state["mask"], state["anchor"]
        self.steps = int(state["steps"])
        unpack("network", state, self.model)
        self.estimator.restore(under("estimator/", state))
