"""Makes the estimator of the inverse Fisher matrix that a method of `fishbone.pruning.methods` names."""

import dataclasses
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from fishbone.curvature.block_fisher import BlockFisher, block_matrices
from fishbone.curvature.diagonal import Diagonal
from fishbone.curvature.fishleg import FishLeg, start_statistics
from fishbone.curvature.gradients import Gradients, Remembered
from fishbone.curvature.isotropic import Isotropic
from fishbone.curvature.kfac import Kfac, ekfac_spectra, kfac_spectra
from fishbone.curvature.learning import Learning
from fishbone.curvature.mfac import Mfac
from fishbone.curvature.protocol import Estimator
from fishbone.curvature.statistics import rows, squares
from fishbone.pruning.methods import ONCE, Method


class EstimatorFactory:
    """Makes a method's estimators, one for each damping.

    Trials of several dampings start from the same network: what FishLeg and K-FAC know of it is computed once and
    shared. In earnest everything is computed, so that its cost counts.

    Args:
        method: says which estimator, and what FishLeg changes in ``learning``.
        gradients: rows of the curvature images.
        block: weights in a block, where the estimator is ``blocks``.
        learning: how FishLeg learns, where the method says nothing else.
        seed: decides FishLeg's random directions; the same seed gives the same directions.
    """

    def __init__(self, method: Method, gradients: Gradients, *, block: int, learning: Learning, seed: int):
        self.method, self.gradients, self.block, self.seed = method, gradients, block, seed
        self.learning = _changed(learning, method)
        self._remembered = Remembered(gradients.layout, self._statistics)

    @property
    def learns_on(self) -> bool:
        """Whether a later refinement goes on learning from where the last one ended."""
        return self.method.estimator == "fishleg" and not self.learning.renew

    def trial(self, gamma: float) -> Estimator:
        """An estimator that judges the damping ``gamma``.

        FishLeg learns nothing if it starts from a closed form in eigenbases, and otherwise as in earnest.
        """
        learning = self.learning
        if learning.start in ("activations", "rows"):
            learning = dataclasses.replace(learning, first_steps=0, later_steps=0, held_out=0)
        return self._made(self._remembered, gamma, learning)

    def final(self, gamma: float) -> Estimator:
        """An estimator with the damping ``gamma``, in earnest; what trials shared is forgotten."""
        self._remembered.forget()
        return self._made(self._statistics, gamma, self.learning)

    def _made(self, spectra: Callable[[nn.Module], Any], gamma: float, learning: Learning) -> Estimator:
        """``spectra``: `_statistics`, remembered or not, for the estimators that are small beside it."""
        layout = self.gradients.layout
        match self.method.estimator:
            case "isotropic":
                return Isotropic(layout.size)
            case "diagonal":
                return Diagonal(layout.size, self._statistics, gamma)
            case "blocks":
                return BlockFisher(layout, self._statistics, gamma, self.block)
            case "mfac":
                return Mfac(layout.size, self._statistics, gamma)
            case "kfac" | "ekfac":
                return Kfac(layout, spectra, gamma)
            case "fishleg":
                return FishLeg(layout, self.gradients, spectra, gamma, learning, self.seed)

    def _statistics(self, model: nn.Module) -> Any:
        """What the estimator is made of, whatever its damping."""
        match self.method.estimator:
            case "diagonal":
                return squares(model, self.gradients)
            case "blocks":
                return block_matrices(model, self.gradients, self.block)
            case "mfac":
                return all_rows(model, self.gradients)
            case "kfac":
                return kfac_spectra(model, self.gradients)
            case "ekfac":
                return ekfac_spectra(model, self.gradients)
            case "fishleg":
                return start_statistics(model, self.gradients, self.learning)
            case "isotropic":
                return None


def _changed(learning: Learning, method: Method) -> Learning:
    """What the method makes of ``learning``."""
    learning = dataclasses.replace(learning, **method.changes)
    if not learning.first_steps and (method.refine_every == ONCE or not learning.later_steps):
        return dataclasses.replace(learning, held_out=0)  # nothing is learnt, so all images are for the closed form
    return learning


def all_rows(model: nn.Module, gradients: Gradients) -> Tensor:
    """(images x K, d) rows whose mean outer product is F, for M-FAC."""
    found = rows(model, gradients)
    return found.flatten(0, 1).mul_(found.shape[1] ** 0.5)
