"""Weights p_k of the members, and the weighted mean of what they return.

The objective is F(θ) = Σ p_k F_k(θ). ``class_half`` is HoVeFL's rule: one half for all horizontal devices, one half for
all vertical groups, equal inside each kind. ``by_samples`` is FedAvg's n_k/n (McMahan et al. 2017). The mean is
taken per name of the network: a group's weight holds for its parties' bottoms and for its label holder's top.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from fishbone.federated.messages import Update
from fishbone.federated.roles import Role


def class_half(roles: Sequence[Role]) -> dict[str, Fraction]:
    """Member id → weight; a kind without members leaves all weight to the other."""
    sizes = Counter(type(role) for role in roles)
    return {role.id: Fraction(1, len(sizes) * sizes[type(role)]) for role in roles}


def by_samples(roles: Sequence[Role]) -> dict[str, Fraction]:
    """Member id → its share of the samples."""
    total = sum(len(role.samples) for role in roles)
    return {role.id: Fraction(len(role.samples), total) for role in roles}


@dataclass(frozen=True, eq=False)
class Contribution:
    """An admitted update and the weight of the member that it belongs to."""

    share: Fraction
    update: Update


def weighted_mean(contributions: Iterable[Contribution]) -> dict[str, Tensor]:
    """Name → float64 mean, summed in the order of the senders' ids whatever the order of arrival."""
    mean: dict[str, Tensor] = {}
    for one in sorted(contributions, key=lambda one: one.update.sender):
        for name, value in one.update.weights.items():
            term = value.double() * float(one.share)
            mean[name] = mean[name] + term if name in mean else term
    return mean


def server_step(weights: dict[str, Tensor], mean: dict[str, Tensor], rate: float) -> dict[str, Tensor]:
    """(1-rate)·weights + rate·mean in float64, rounded once to the weights' type; rate 1 is the mean itself."""
    return {name: torch.lerp(old.double(), mean[name], rate).to(old.dtype) for name, old in weights.items()}


def admissible(update: Update, sent: dict[str, Tensor], address: str, round_: int) -> bool:
    """Whether an update answers what was sent: from there, of this round, same names, shapes and types, all finite."""
    return (
        (update.sender, update.round) == (address, round_)
        and update.weights.keys() == sent.keys()
        and all(
            value.shape == sent[name].shape and value.dtype == sent[name].dtype and bool(value.isfinite().all())
            for name, value in update.weights.items()
        )
        and (update.loss is None or math.isfinite(update.loss))
    )
