"""One name, colour and marker for a method wherever it is shown, in Okabe & Ito's colours, safe for all sight (2008).

References (dense, centralised) are black and FedAvg grey. Methods that this module does not know take the colours that
the study's other methods leave, in order of their names.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle

from fishbone.export.int8 import SUFFIX

BLACK, GREY = "#000000", "#777777"
ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"


@dataclass(frozen=True)
class Style:
    colour: str
    marker: str


KNOWN = {
    "dense": Style(BLACK, "*"),
    "fls": Style(VERMILLION, "o"),
    "obs": Style(BLUE, "^"),
    "chita": Style(SKY, "s"),
    "ekfac": Style(ORANGE, "s"),
    "kfac": Style(ORANGE, "D"),
    "mfac": Style(PURPLE, "s"),
    "obs-independent": Style(BLUE, "<"),
    "obs-anchored": Style(BLUE, "s"),
    "fls-first-order": Style(VERMILLION, "D"),
    "obs-first-order": Style(BLUE, "D"),
    "fls-tenth": Style(VERMILLION, "P"),
    "obs-tenth": Style(BLUE, "P"),
    "obd": Style(GREY, "X"),
    "magnitude": Style(GREEN, "v"),
    "fls-gradual": Style(VERMILLION, ">"),
    "obs-gradual": Style(BLUE, ">"),
    "magnitude-gradual": Style(GREEN, ">"),
    "hovefl-12-6": Style(ORANGE, "o"),
    "hovefl-6-12": Style(SKY, "^"),
    "fsl_gan": Style(PURPLE, "o"),
    "fedavg": Style(GREY, "D"),
    "centralised": Style(BLACK, "s"),
}
LABELS = {
    "fls": "FLS",
    "obs": "OBS",
    "obs-independent": "OBS, one by one",
    "obs-anchored": "OBS, anchored",
    "obd": "OBD",
    "chita": "CHITA-like",
    "mfac": "M-FAC",
    "kfac": "K-FAC",
    "ekfac": "EKFAC",
    "fls-start": "FLS, not learnt",
    "fls-outer": "FLS, outer diagonal",
    "fls-inner": "FLS, inner diagonal",
    "fls-three-way": "FLS, three-way",
    "fls-isotropic": "FLS from I/γ",
    "fls-isotropic-gradients": "FLS from I/γ, gradient directions",
    "fls-diagonal": "FLS from diagonal",
    "fls-rows": "FLS from rows' bases",
    "fls-plain-loss": "FLS, plain loss",
    "fls-independent": "FLS, one by one",
    "fls-joint": "FLS, joint",
    "fls-first-order": "FLS, first-order term",
    "fls-first-order-renewed": "FLS, first-order, re-estimated",
    "obs-first-order": "OBS, first-order term",
    "fls-assimilated": "FLS, assimilated",
    "fls-assimilated-all": "FLS, learnt on without mask",
    "fls-renewed": "FLS, re-estimated",
    "fls-tenth": "FLS, a tenth of images",
    "obs-tenth": "OBS, a tenth of images",
    "fls-untempered": "FLS, temperature 1",
    "obs-untempered": "OBS, temperature 1",
    "fls-gradual": "FLS, gradual",
    "obs-gradual": "OBS, gradual",
    "magnitude-gradual": "magnitude, gradual",
    "channels": "FLS, whole channels",
    "fedavg": "FedAvg",
    "fsl_gan": "FSL-GAN",
    "hovefl": "HoVeFL",
}
SPARE = [Style(colour, marker) for marker in "PX<>" for colour in (SKY, PURPLE, ORANGE, GREEN, BLUE, VERMILLION)]


def styles(methods: Iterable[str]) -> dict[str, Style]:
    """Method → style, for all methods of a study at once."""
    methods = sorted(set(methods))
    taken = {KNOWN[method].colour for method in methods if method in KNOWN}
    free = [style for style in SPARE if style not in KNOWN.values()]
    spare = cycle(sorted(free, key=lambda style: style.colour in taken))
    return {method: KNOWN.get(method) or next(spare) for method in methods}


def label(name: str) -> str:
    """A method or exported variant for people: ``hovefl-12-6`` → HoVeFL 12 H + 6 V, ``fls-0.95`` → FLS 95 %."""
    if mix := re.fullmatch(r"hovefl-(\d+)-(\d+)", name):
        return f"HoVeFL {mix[1]} H + {mix[2]} V"
    if sparse := re.fullmatch(r"(.+):sparse", name):
        return f"{label(sparse[1])}, sparse runtime"
    if (int8 := re.search(SUFFIX, name)) and int8.start():
        return f"{label(name[: int8.start()])}, int8 {int8[1].upper()}"
    if variant := re.fullmatch(r"(.+)-(0?\.\d+)", name):
        return f"{label(variant[1])} {100 * float(variant[2]):g} %"
    return LABELS.get(name, name)


def order(name: str) -> tuple:
    """Sorts methods and variants: the papers' own first, then their baselines, then names that are not known."""
    method = method_of(name)
    return list(KNOWN).index(method) if method in KNOWN else len(KNOWN), name


def method_of(variant: str) -> str:
    """``fls-0.95``, ``fls-0.95-u8s8`` and ``fls-0.95:sparse`` → fls; other names are their own method."""
    return re.sub(r"-0?\.\d+$", "", re.sub(rf":sparse$|{SUFFIX}", "", variant))
