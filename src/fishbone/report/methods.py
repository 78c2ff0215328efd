"""One table of the methods that a report shows: label, look, source and place of each, by its name in results.

Colours are Okabe & Ito's, safe for all sight (2008). References (dense, centralised) are black and FedAvg grey. Methods
without a look of their own, and those that the table does not know, take what the study's other methods leave, in order
of their names.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle

BLACK, GREY = "#000000", "#777777"
ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"

FORM, LEARNING, COMPENSATION = "form and start of the inverse", "learning", "compensation"
UPDATED, FEWER, OTHER = "the inverse brought up to date", "fewer images", "other variants"
TOPICS = (FORM, LEARNING, COMPENSATION, UPDATED, FEWER, OTHER)
GRADUAL = "with training between the steps"

FLS, HOVEFL, FSL_GAN = "FLS (arXiv 2412.02328)", "HoVeFL (arXiv 2410.01644)", "FSL-GAN (arXiv 2207.01750)"
OBS = "Optimal Brain Surgeon (Hassibi & Stork 1993)"
HERE = "Fishbone"  # what no paper has, such as a combination of two papers' methods


@dataclass(frozen=True)
class Style:
    """A colour as ``#RRGGBB``, and a marker of matplotlib's."""

    colour: str
    marker: str


@dataclass(frozen=True)
class Method:
    """How a method is shown.

    Attributes:
        stages: those whose results it is in.
        label: its name for people.
        paper: where it comes from.
        style: its look, the same in every figure; None: one that is free.
        topic: what it varies (in `TOPICS`) or `GRADUAL`; None: it is a method of its own. A figure with many variants
            has a panel for each topic.
    """

    stages: tuple[str, ...]
    label: str
    paper: str
    style: Style | None = None
    topic: str | None = None


def _pruning(label: str, paper: str, colour: str | None = None, marker: str = "", topic: str | None = None) -> Method:
    return Method(("prune",), label, paper, Style(colour, marker) if colour else None, topic)


# In the order of tables and legends: the papers' own first, then their baselines; those without a look come last.
METHODS: dict[str, Method] = {
    "dense": Method(("export",), "dense", HERE, Style(BLACK, "*")),
    "fls": _pruning("FLS", FLS, VERMILLION, "o"),
    "obs": _pruning("OBS", OBS, BLUE, "^"),
    "chita": _pruning("CHITA-like", "CHITA (arXiv 2302.14623)", SKY, "s"),
    "ekfac": _pruning("EKFAC", "EKFAC (arXiv 1806.03884)", ORANGE, "s"),
    "kfac": _pruning("K-FAC", "K-FAC (arXiv 1503.05671)", ORANGE, "D"),
    "mfac": _pruning("M-FAC", "M-FAC (arXiv 2107.03356)", PURPLE, "s"),
    "obs-independent": _pruning("OBS, one by one", "WoodFisher (arXiv 2004.14340)", BLUE, "<"),
    "obs-anchored": _pruning("OBS, anchored", HERE, BLUE, "s"),
    "fls-first-order": _pruning("FLS, first-order term", HERE, VERMILLION, "D", COMPENSATION),
    "obs-first-order": _pruning("OBS, first-order term", HERE, BLUE, "D", COMPENSATION),
    "fls-tenth": _pruning("FLS, a tenth of images", FLS, VERMILLION, "P", FEWER),
    "obs-tenth": _pruning("OBS, a tenth of images", OBS, BLUE, "P", FEWER),
    "obd": _pruning("OBD", "Optimal Brain Damage (LeCun et al. 1990)", GREY, "X"),
    "magnitude": _pruning("magnitude", "Han et al. (arXiv 1506.02626)", GREEN, "v"),
    "fls-gradual": _pruning("FLS, gradual", FLS, VERMILLION, ">", GRADUAL),
    "obs-gradual": _pruning("OBS, gradual", OBS, BLUE, ">", GRADUAL),
    "magnitude-gradual": _pruning("magnitude, gradual", "Zhu & Gupta (arXiv 1710.01878)", GREEN, ">", GRADUAL),
    "hovefl-12-6": Method(("federate",), "HoVeFL 12 H + 6 V", HOVEFL, Style(ORANGE, "o")),
    "hovefl-6-12": Method(("federate",), "HoVeFL 6 H + 12 V", HOVEFL, Style(SKY, "^")),
    "fsl_gan": Method(("gan",), "FSL-GAN", FSL_GAN, Style(PURPLE, "o")),
    "fedavg": Method(("federate",), "FedAvg", "FedAvg (arXiv 1602.05629)", Style(GREY, "D")),
    "centralised": Method(("federate", "gan"), "centralised", HERE, Style(BLACK, "s")),
    "fls-start": _pruning("FLS, not learnt", HERE, topic=LEARNING),
    "fls-outer": _pruning("FLS, outer diagonal", "FishLeg (Garcia et al., ICLR 2023)", topic=FORM),
    "fls-inner": _pruning("FLS, inner diagonal", HERE, topic=FORM),
    "fls-three-way": _pruning("FLS, three-way", HERE, topic=FORM),
    "fls-isotropic": _pruning("FLS from I/γ", FLS, topic=FORM),
    "fls-isotropic-gradients": _pruning("FLS from I/γ, gradient directions", FLS, topic=FORM),
    "fls-diagonal": _pruning("FLS from diagonal", HERE, topic=FORM),
    "fls-rows": _pruning("FLS from rows' bases", HERE, topic=FORM),
    "fls-plain-loss": _pruning("FLS, plain loss", FLS, topic=LEARNING),
    "fls-independent": _pruning("FLS, one by one", HERE, topic=COMPENSATION),
    "fls-joint": _pruning("FLS, joint", HERE, topic=COMPENSATION),
    "fls-first-order-renewed": _pruning("FLS, first-order, re-estimated", HERE, topic=COMPENSATION),
    "fls-assimilated": _pruning("FLS, assimilated", FLS, topic=UPDATED),
    "fls-assimilated-all": _pruning("FLS, learnt on without mask", HERE, topic=UPDATED),
    "fls-renewed": _pruning("FLS, re-estimated", HERE, topic=UPDATED),
    "fls-untempered": _pruning("FLS, temperature 1", FLS, topic=OTHER),
    "obs-untempered": _pruning("OBS, temperature 1", OBS, topic=OTHER),
    "channels": Method(("export",), "FLS, whole channels", HERE),
}
LOOKS: dict[str, Style] = {name: method.style for name, method in METHODS.items() if method.style}
SPARE = [Style(colour, marker) for marker in "PX<>" for colour in (SKY, PURPLE, ORANGE, GREEN, BLUE, VERMILLION)]


def styles(methods: Iterable[str]) -> dict[str, Style]:
    """Give each of a study's methods its look.

    Args:
        methods: names of all that the study has; what one without a look of its own gets depends on the others.

    Returns:
        Name → look.
    """
    methods = sorted(set(methods))
    taken = {LOOKS[method].colour for method in methods if method in LOOKS}
    free = [style for style in SPARE if style not in LOOKS.values()]
    spare = cycle(sorted(free, key=lambda style: style.colour in taken))
    return {method: LOOKS.get(method) or next(spare) for method in methods}


def place(method: str) -> int:
    """A method's place in tables and legends, those of methods without a look of their own after all others."""
    return list(LOOKS).index(method) if method in LOOKS else len(LOOKS)


def topic(method: str) -> str | None:
    """What a method varies; None: it is a method of its own, or none that the table knows."""
    return METHODS[method].topic if method in METHODS else None
