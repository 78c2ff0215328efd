"""What a claim of a paper came to: differences paired by seed, their 95 % interval, and a verdict by one rule.

With d the claimed quantity, one value a seed, and b the bound that the claim names (0, or a margin within which two
results count as comparable): the claim *holds* if the whole interval of the mean of d lies on the claimed side of b,
*fails* if the whole interval lies on the other side, and is *not tested* if the interval includes b (then ``why``
starts with "inconclusive"), if there are fewer than two seeds, or if the study lacks what the claim is about.
Claims are judged one by one, without a correction for their number.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

from fishbone.report.intervals import PLAIN, Bounds, Interval, clipped, interval

INCONCLUSIVE = "inconclusive"
UNITS = {"percentage points": " points", "in percent": " %"}  # by the words of a quantity
RULE = (
    "A claim holds if the whole 95 % interval of its quantity, paired by seed (Student's t), lies on the claimed side "
    "of the bound, and fails if the whole interval lies on the other side. Otherwise it counts as not tested: "
    "inconclusive where the interval includes the bound."
)


@dataclass(frozen=True)
class Statement:
    """What a paper says.

    Attributes:
        id: its name in ``claims.json``.
        paper: the paper that says it.
        statement: what it says, as a sentence.
        published: the paper's number with its setting.
        quantity: what is measured here, with its unit.
    """

    id: str
    paper: str
    statement: str
    published: str
    quantity: str


@dataclass(frozen=True)
class Claim:
    """A statement, tested; the fields of ``claims.json``. ``measured`` and ``ci95`` are in the quantity's unit."""

    id: str
    paper: str
    statement: str
    published: str
    quantity: str
    measured: float | None
    ci95: tuple[float, float] | None
    seeds: list[int]
    setting: str
    verdict: Literal["holds", "fails", "not tested"]
    why: str
    artefacts: list[str]


class Line(NamedTuple):
    """A claim as people see it in a table."""

    paper: str
    statement: str
    data: str
    published: str
    measured: str
    verdict: str


@dataclass(frozen=True)
class Evidence:
    """Where a statement was tested, and what was found.

    Attributes:
        dataset: name of the data set.
        values: seed → what the quantity is computed from.
        setting: how this differs from what the paper did.
        artefacts: files that the values come from.
        ratios: whether the values are ratios of two positive results, and the quantity is the ratio minus 1 in percent;
            the interval is that of their logarithms, so it never falls below −100 %.
        bounds: what a difference can be; its interval is clipped to that.
    """

    dataset: str
    values: Mapping[int, float]
    setting: str
    artefacts: Iterable[str]
    ratios: bool = False
    bounds: Bounds = PLAIN

    def interval(self) -> Interval | None:
        """That of the quantity, before it is clipped; None without seeds."""
        values = list(self.values.values())
        if not values:
            return None
        if not self.ratios:
            return interval(values)
        logs = interval([math.log(value) for value in values])
        low, high = (x if x is None else 100 * math.expm1(x) for x in (logs.low, logs.high))
        return Interval(100 * math.expm1(logs.mean), low, high, logs.n)


def judge(statement: Statement, evidence: Evidence, side: Literal["above", "below"], bound: float = 0.0) -> Claim:
    """Apply the rule to what was found.

    Args:
        statement: what the paper says; the claim's id is its own with ``@`` and the data set.
        evidence: what was found here.
        side: where the paper says that the quantity lies.
        bound: above or below what.
    """
    whole = evidence.interval()
    found = whole and clipped(whole, evidence.bounds)
    verdict, why = _verdict(found, side, bound)
    if found != whole:
        why += f" It is cut at what the quantity can be, {evidence.bounds[0]:g} to {evidence.bounds[1]:g}."
    return Claim(
        **asdict(statement) | {"id": f"{statement.id}@{evidence.dataset}"},
        measured=found.mean if found else None,
        ci95=None if found is None or found.low is None or found.high is None else (found.low, found.high),
        seeds=sorted(evidence.values),
        setting=evidence.setting,
        verdict=verdict,
        why=why,
        artefacts=sorted(evidence.artefacts),
    )


def badge(claim: Claim) -> str:
    """The verdict, or "inconclusive" where the data did not decide."""
    return INCONCLUSIVE if claim.why.startswith(INCONCLUSIVE) else claim.verdict


def measured(claim: Claim) -> str:
    """Mean with sign, unit and interval; a dash where nothing was measured."""
    if claim.measured is None:
        return "–"
    unit = next((unit for words, unit in UNITS.items() if words in claim.quantity), "")
    interval = " [{:.2f}, {:.2f}]".format(*claim.ci95) if claim.ci95 else ""
    return f"{claim.measured:+.2f}{unit}{interval}".replace("-", "−")


def line(claim: Claim) -> Line:
    """The claim in a table's row: its texts without what they have in parentheses, the statement up to its colon."""
    paper, statement, published = (
        re.sub(r" \([^)]*\)", "", text) for text in (claim.paper, claim.statement, claim.published)
    )
    _, _, dataset = claim.id.partition("@")
    return Line(
        paper, statement.split(": ")[0].removesuffix("."), dataset or "–", published, measured(claim), badge(claim)
    )


def not_tested(statement: Statement, why: str, dataset: str = "") -> Claim:
    """A statement that this study, or its part on a data set, says nothing about.

    Args:
        statement: what the paper says.
        why: one sentence for people.
        dataset: name of the data set; empty: all.
    """
    texts = asdict(statement) | {"id": f"{statement.id}@{dataset}" if dataset else statement.id}
    return Claim(**texts, measured=None, ci95=None, seeds=[], setting="", verdict="not tested", why=why, artefacts=[])


def _verdict(found: Interval | None, side: str, bound: float) -> tuple[Literal["holds", "fails", "not tested"], str]:
    if found is None:
        return "not tested", "No seed has both results."
    if found.low is None or found.high is None:
        return "not tested", "One seed gives no interval."
    basis = f"{found.n} seeds, Student's t with {found.n - 1} degree{'s' * (found.n > 2)} of freedom"
    if found.low > bound or found.high < bound:
        actual = "above" if found.low > bound else "below"
        return ("holds" if actual == side else "fails"), f"The whole interval lies {actual} {bound:g} ({basis})."
    return "not tested", f"{INCONCLUSIVE}: the interval includes {bound:g} ({basis})."
