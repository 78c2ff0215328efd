"""The pruning methods by name: which estimator of the inverse Fisher matrix each one is.

``magnitude``: none; ``obs``: block-diagonal empirical Fisher matrix; ``fls``: FishLeg, learnt.
"""

import dataclasses
from collections.abc import Callable

from torch import Tensor

from fishbone.curvature.block_fisher import BlockFisher
from fishbone.curvature.fishleg import FishLeg
from fishbone.curvature.isotropic import Isotropic
from fishbone.curvature.layout import Layout
from fishbone.curvature.learning import Learning
from fishbone.curvature.protocol import Estimator
from fishbone.curvature.rows import RememberedRows, empirical_rows, fisher_rows


def estimators(
    method: str, layout: Layout, inputs: Tensor, labels: Tensor, *, block: int, learning: Learning, seed: int
) -> Callable[[float, bool], Estimator]:
    """(damping, trial) → estimator. All share the first network's gradient rows; in a trial FishLeg learns nothing.

    Args:
        method: ``fls``, ``obs`` or ``magnitude``.
        inputs, labels: the curvature images; only ``obs`` reads the labels.
        block: weights in a block, for ``obs``.
        learning, seed: for ``fls``.
    """
    fisher = RememberedRows(layout, lambda model: fisher_rows(model, layout, inputs))
    empirical = RememberedRows(layout, lambda model: empirical_rows(model, layout, inputs, labels))
    closed_form = dataclasses.replace(learning, first_steps=0, later_steps=0)
    made = {
        "fls": lambda gamma, trial: FishLeg(layout, fisher, gamma, closed_form if trial else learning, seed),
        "obs": lambda gamma, trial: BlockFisher(layout, empirical, gamma, block),
        "magnitude": lambda gamma, trial: Isotropic(layout.size),
    }
    return made[method]
