"""Makes pruners: a short trial for each damping, and the one in earnest."""

import dataclasses
from dataclasses import dataclass

from torch import nn

from fishbone.curvature.drift import Drift
from fishbone.curvature.layout import Layout
from fishbone.pruning.estimators import EstimatorFactory
from fishbone.pruning.methods import ONCE
from fishbone.pruning.pruner import Pruner, Surgery


@dataclass(frozen=True)
class PrunerFactory:
    """Makes pruners that differ in network and damping only.

    Attributes:
        layout: the weights that may go.
        estimators: makes the inverse Fisher matrix of each damping.
        surgery: what a pruner does with it.
        drift: distance from the dense network, of the first-order term; None leaves that out.
    """

    layout: Layout
    estimators: EstimatorFactory
    surgery: Surgery
    drift: Drift | None

    def trial(self, model: nn.Module, gamma: float) -> Pruner:
        """A pruner of ``model`` that judges the damping ``gamma``; FishLeg does not go on learning in it."""
        every = ONCE if self.estimators.learns_on else self.surgery.refine_every
        surgery = dataclasses.replace(self.surgery, refine_every=every)
        return Pruner(model, self.layout, self.estimators.trial(gamma), surgery, self.drift)

    def final(self, model: nn.Module, gamma: float) -> Pruner:
        """A pruner of ``model`` with the damping ``gamma``, in earnest."""
        return Pruner(model, self.layout, self.estimators.final(gamma), self.surgery, self.drift)
