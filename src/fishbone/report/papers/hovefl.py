"""HoVeFL: "A Novel Framework of Horizontal-Vertical Hybrid Federated Learning for EdgeIoT", arXiv 2410.01644 (2024).

What is compared is a share: the method with more horizontal devices has more of its samples on devices whose data are
not IID, while the authors' published code deals IID data to vertical groups.
"""

from collections.abc import Iterator
from typing import Any

from fishbone.federated.names import mix
from fishbone.report.methods import METHODS
from fishbone.report.papers.setting import data_setting, network_setting
from fishbone.report.study import Study
from fishbone.report.verdict import Claim, Evidence, Statement, judge, not_tested

PAPER = METHODS["hovefl-12-6"].paper
STATEMENT = Statement(
    "hovefl-more-horizontal-higher-loss",
    PAPER,
    "With more horizontal than vertical members the loss is higher than the other way round.",
    "+5.5 % on CIFAR-10, +25.2 % on SVHN (12 horizontal and 6 vertical against 6 and 12; one unseeded run each)",
    "test loss with more horizontal members over that with the counts exchanged, minus 1, in percent (geometric mean)",
)


def claims(study: Study) -> Iterator[Claim]:
    """All claims of the paper.

    Args:
        study: all results of the study.
    """
    if not study.of("federate"):
        yield not_tested(STATEMENT, "The study federates nothing.")
    for dataset in study.datasets("federate"):
        pair = mirrored(study.names("federate", dataset))
        if pair is None:
            why = f"No pair such as hovefl-12-6 and hovefl-6-12 among the methods on {dataset}."
            yield not_tested(STATEMENT, why, dataset)
            continue
        if not all(run.content["test_loss"] for name in pair for run in study.of("federate", dataset, name)):
            yield not_tested(STATEMENT, f"On {dataset} a loss is 0, which has no ratio.", dataset)
            continue
        yield judge(STATEMENT, _evidence(study, dataset, *pair), "above")


def mirrored(methods: list[str]) -> tuple[str, str] | None:
    """A pair of mixes with the counts exchanged: (hovefl-H-V, hovefl-V-H), H > V; None where there is none.

    Args:
        methods: names of all federated methods; of several pairs the one nearest to the paper's 12 and 6 is taken.
    """
    mixes = {found: method for method in methods if (found := mix(method))}
    pairs = [(h, v) for h, v in mixes if h > v and (v, h) in mixes]
    if not pairs:
        return None
    h, v = min(pairs, key=lambda pair: (abs(pair[0] - 12) + abs(pair[1] - 6), pair))
    return mixes[h, v], mixes[v, h]


def _evidence(study: Study, dataset: str, more: str, less: str) -> Evidence:
    first, second = study.runs("federate", dataset, more), study.runs("federate", dataset, less)
    seeds = sorted(first.keys() & second.keys())
    values = {seed: first[seed].content["test_loss"] / second[seed].content["test_loss"] for seed in seeds}
    run = next(iter(first.values()))
    parts = [
        f"{more} against {less}",
        data_setting(study, dataset, ("CIFAR-10", "SVHN")),
        network_setting(run, "model.json", "a two-branch LeNet"),
        f"{run.content['rounds']:g} rounds",
        *_partitions(study.params.get("federate", {})),
    ]
    artefacts = [runs[seed].artefact for seed in seeds for runs in (first, second)]
    return Evidence(dataset, values, "; ".join(parts) + ".", artefacts, ratios=True)


def _partitions(params: dict[str, Any]) -> list[str]:
    horizontal, vertical = params.get("horizontal_partition"), params.get("vertical_partition")
    if horizontal is None or vertical is None:
        return []
    shared = "" if horizontal == vertical else ", so the mix also sets the share of either"
    return [f"horizontal devices' data {horizontal}, vertical groups' {vertical}{shared}"]
