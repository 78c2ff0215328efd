"""HoVeFL (Li et al. 2025, doi 10.1109/LNET.2025.3540268): one half for the devices, one half for the groups."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from fishbone.federated.methods.fedavg import FedAvg
from fishbone.federated.roles import Role
from fishbone.federated.weightings import class_half


@dataclass(frozen=True)
class HoVeFL(FedAvg):
    """FedAvg with the letter's shares."""

    name: ClassVar[str] = "hovefl"

    def weigh(self, roles: Sequence[Role]) -> dict[str, Fraction]:
        """One half for the devices, one half for the groups."""
        return class_half(roles)
