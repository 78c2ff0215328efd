"""The pruning methods by name: an estimator of the inverse Fisher matrix and what is done with it.

All methods share images, schedule, damping candidates and solver, so they differ in what is listed here only. Those
that estimate afresh before every step (``refine_every`` 1) look at the images that often; the others once.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

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

ONCE = 10**9  # more steps than any trajectory has
COLD = {"first_steps": 1000, "learning_rate": 0.03}  # what it takes to learn Q from a start that knows little


@dataclass(frozen=True)
class Method:
    """Attributes:
    estimator: of the inverse Fisher matrix.
    ranking, compensation, refine_every: see `fishbone.pruning.operation.Surgery`.
    changes: fields of `Learning` that this variant of FishLeg sets.
    share: of the curvature images that the method looks at.
    retrained: the weights that are left are trained after every step.
    tempered: the Fisher matrix is taken at the study's temperature, not at 1.
    first_order: every step has a first-order term, see `fishbone.pruning.operation`.
    """

    estimator: Literal["isotropic", "diagonal", "blocks", "mfac", "kfac", "ekfac", "fishleg"]
    ranking: str
    compensation: str
    refine_every: int
    changes: Mapping[str, Any] = field(default_factory=dict)
    share: float = 1.0
    retrained: bool = False
    tempered: bool = True
    first_order: bool = False

    @property
    def damped(self) -> bool:
        """Whether the estimator has a damping to choose."""
        return self.estimator != "isotropic"


def _fls(compensation: str = "anchored", refine_every: int = ONCE, **changes) -> Method:
    return Method("fishleg", "saliency", compensation, refine_every, changes)


METHODS = {
    "magnitude": Method("isotropic", "magnitude", "none", ONCE),
    "obd": Method("diagonal", "saliency", "none", 1),
    "obs": Method("blocks", "saliency", "joint", 1),
    "obs-independent": Method("blocks", "saliency", "independent", 1),
    "chita": Method("blocks", "magnitude", "joint", 1),
    "mfac": Method("mfac", "saliency", "joint", 1),
    "kfac": Method("kfac", "saliency", "anchored", ONCE),
    "ekfac": Method("ekfac", "saliency", "anchored", ONCE),
    "fls": _fls(),
    # a step back towards the dense network's outputs after every removal
    "fls-first-order": dataclasses.replace(_fls(), first_order=True),
    "obs-first-order": Method("blocks", "saliency", "anchored", 1, first_order=True),
}
VARIANTS = {
    # what each part of fls is worth
    "fls-start": _fls(first_steps=0),
    "fls-outer": _fls(form="outer"),
    "fls-inner": _fls(form="inner"),
    "fls-three-way": _fls(form="three_way"),
    "fls-isotropic": _fls(start="isotropic", **COLD),
    "fls-isotropic-gradients": _fls(start="isotropic", drawn_from="gradients", **COLD),
    "fls-diagonal": _fls(start="diagonal", **COLD),
    "fls-rows": _fls(start="rows"),
    "fls-plain-loss": _fls(precondition=False),
    "fls-independent": _fls("independent"),
    "fls-joint": _fls("joint"),
    "fls-first-order-renewed": dataclasses.replace(
        _fls(refine_every=1, renew=True, first_steps=0, later_steps=0), first_order=True
    ),
    "obs-anchored": Method("blocks", "saliency", "anchored", ONCE),  # differs from fls in curvature only
    # Q brought up to date before every step: learnt on with a mask, as FLS; learnt on without; or estimated again
    "fls-assimilated": _fls(refine_every=1, weights="active"),
    "fls-assimilated-all": _fls(refine_every=1),
    "fls-renewed": _fls(refine_every=1, renew=True, first_steps=0, later_steps=0),
    # fewer images: how much noise each stands
    "fls-tenth": Method("fishleg", "saliency", "anchored", ONCE, share=0.1),
    "obs-tenth": Method("blocks", "saliency", "joint", 1, share=0.1),
    # the Fisher matrix itself, at temperature 1
    "fls-untempered": dataclasses.replace(_fls(), tempered=False),
    "obs-untempered": Method("blocks", "saliency", "joint", 1, tempered=False),
    # gradual: the weights move between the steps, so curvature is estimated before each
    "magnitude-gradual": Method("isotropic", "magnitude", "none", 1, retrained=True),
    "obs-gradual": Method("blocks", "saliency", "joint", 1, retrained=True),
    "fls-gradual": Method(
        "fishleg", "saliency", "anchored", 1, {"renew": True, "first_steps": 0, "later_steps": 0}, retrained=True
    ),
}


def all_rows(model: nn.Module, gradients: Gradients) -> Tensor:
    """(images x K, d) rows whose mean outer product is F, for M-FAC."""
    found = rows(model, gradients)
    return found.flatten(0, 1).mul_(found.shape[1] ** 0.5)


def estimators(
    method: Method, gradients: Gradients, *, block: int, learning: Learning, seed: int
) -> Callable[[float, bool], Estimator]:
    """(damping, trial) → estimator. Trials share what FishLeg and K-FAC know of the first network; it is small.

    In earnest everything is computed, so that it counts. In a trial FishLeg learns nothing if it starts from a closed
    form in eigenbases, and otherwise as in earnest.

    Args:
        gradients: of the curvature images.
        block: weights in a block, for ``blocks``.
        learning, seed: for ``fishleg``.
    """
    layout = gradients.layout
    learning = dataclasses.replace(learning, **method.changes)
    if not learning.first_steps and (method.refine_every == ONCE or not learning.later_steps):
        learning = dataclasses.replace(learning, held_out=0)  # nothing is learnt, so all images are for the closed form
    tried = learning
    if learning.start in ("activations", "rows"):
        tried = dataclasses.replace(learning, first_steps=0, later_steps=0, held_out=0)

    def computed(compute: Callable, *arguments) -> Callable[[nn.Module], Any]:
        return lambda model: compute(model, gradients, *arguments)

    def kronecker(compute: Callable[[nn.Module], Any], make: Callable) -> Callable[[float, bool], Estimator]:
        remembered = Remembered(layout, compute)
        return lambda gamma, trial: make(remembered if trial else compute, gamma, tried if trial else learning)

    def kfac(compute: Callable) -> Callable[[float, bool], Estimator]:
        return kronecker(computed(compute), lambda spectra, gamma, _: Kfac(layout, spectra, gamma))

    made = {
        "isotropic": lambda: lambda gamma, trial: Isotropic(layout.size),
        "diagonal": lambda: lambda gamma, trial: Diagonal(layout.size, computed(squares), gamma),
        "blocks": lambda: lambda gamma, trial: BlockFisher(layout, computed(block_matrices, block), gamma, block),
        "mfac": lambda: lambda gamma, trial: Mfac(layout.size, computed(all_rows), gamma),
        "kfac": lambda: kfac(kfac_spectra),
        "ekfac": lambda: kfac(ekfac_spectra),
        "fishleg": lambda: kronecker(
            computed(start_statistics, learning),
            lambda statistics, gamma, how: FishLeg(layout, gradients, statistics, gamma, how, seed),
        ),
    }
    return made[method.estimator]()
