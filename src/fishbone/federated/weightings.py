"""How much each member counts.

The objective is F(θ) = Σ p_k F_k(θ). ``class_half`` is HoVeFL's rule: one half for all horizontal devices, one half for
all vertical groups, equal inside each kind. ``by_samples`` is FedAvg's n_k/n (McMahan et al. 2017). The mean is
taken per name of the network: a group's weight holds for its parties' bottoms and for its label holder's top.
"""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from fishbone.federated.roles import Role


def class_half(roles: Sequence[Role]) -> dict[str, Fraction]:
    """Member id → weight; a kind without members leaves all weight to the other.

    Examples:
        >>> from fishbone.federated.roles import HorizontalRole, vertical_role
        >>> roles = [HorizontalRole("h0", []), HorizontalRole("h1", []), vertical_role("v0", [], parties=2)]
        >>> {member: str(share) for member, share in class_half(roles).items()}
        {'h0': '1/4', 'h1': '1/4', 'v0': '1/2'}
    """
    sizes = Counter(type(role) for role in roles)
    return {role.id: Fraction(1, len(sizes) * sizes[type(role)]) for role in roles}


def by_samples(roles: Sequence[Role]) -> dict[str, Fraction]:
    """Member id → its share of the samples."""
    total = sum(len(role.samples) for role in roles)
    return {role.id: Fraction(len(role.samples), total) for role in roles}
