"""The pruning methods by name: an estimator of the inverse Fisher matrix and what is done with it.

All methods share images, schedule, damping candidates and solver, so they differ in what is listed here only. Those
that estimate afresh before every step (``refine_every`` 1) look at the images that often; the others once. This module
is light: the stage's parameters take their names from it, and `fishbone.pruning.estimators` makes what it describes.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Estimation = Literal["isotropic", "diagonal", "blocks", "mfac", "kfac", "ekfac", "fishleg"]
Ranking = Literal["saliency", "magnitude"]
Update = Literal["none", "independent", "joint", "anchored"]

ONCE = 10**9  # more steps than any trajectory has
COLD: dict[str, Any] = {
    "first_steps": 1000,
    "learning_rate": 0.03,
}  # what it takes to learn Q from a start that knows little


@dataclass(frozen=True)
class Method:
    """How a method estimates curvature, ranks weights and moves those that stay.

    Attributes:
        estimator: which model of the inverse Fisher matrix; a module of `fishbone.curvature` each.
        ranking: what a weight's score is; see `fishbone.pruning.pruner.Surgery`.
        compensation: how the other weights move; see there.
        refine_every: pruning steps from one refinement of the estimator to the next.
        changes: fields of `fishbone.curvature.learning.Learning` that this variant of FishLeg sets.
        share: fraction of the curvature images that the method looks at.
        retrained: whether the weights that are left are trained after every step.
        tempered: whether the Fisher matrix is taken at the study's temperature, not at 1.
        first_order: whether every step has a first-order term; see `fishbone.pruning.pruner`.
    """

    estimator: Estimation
    ranking: Ranking
    compensation: Update
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


def _fls(compensation: Update = "anchored", refine_every: int = ONCE, **changes: Any) -> Method:
    return Method("fishleg", "saliency", compensation, refine_every, changes)


METHODS: dict[str, Method] = {
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
VARIANTS: dict[str, Method] = {
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
