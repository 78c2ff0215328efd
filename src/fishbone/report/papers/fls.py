"""FLS: McGowan et al., "Efficient Model Compression Techniques with FishLeg", arXiv 2412.02328 (2024).

Tested on accuracy on the test split after recalibrating batch norm, alike for all methods; pruned networks are not
trained again. Everything here comes from one quantity: for each seed, the gap between FLS and a baseline at each
sparsity, in percentage points.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean

from fishbone.report.palette import label
from fishbone.report.papers.setting import data_setting, network_setting
from fishbone.report.study import Result, Study
from fishbone.report.verdict import Claim, Evidence, Statement, judge, not_tested

PAPER = "FLS (arXiv 2412.02328)"
EARLIER = "FLS, earlier version (submitted to ICLR 2024)"
PREFIX = "test_accuracy/"
Gaps = dict[float, float]


@dataclass(frozen=True)
class Test:
    """A statement: FLS's gaps over a baseline give a ``quantity`` (None: they cannot) that lies above ``bound``."""

    statement: Statement
    baseline: str
    data: tuple[str, ...]
    network: str
    quantity: Callable[[Gaps], float | None]
    bound: float = 0.0


def claims(study: Study, comparable: float) -> Iterator[Claim]:
    """All claims of the paper; ``comparable``: accuracies that differ by this fraction count as comparable."""
    for test in (
        _headline(0.95, "obs", PAPER, "ResNet18", "CIFAR-10", (84, 60)),
        _headline(0.8, "obs", PAPER, "ResNet18", "TinyImageNet", (53, 48)),
        _headline(0.75, "mfac", EARLIER, "ResNet50", "ImageNet", (62, 41)),
        _gain_at_high_sparsity(),
        *(_comparable(name, comparable) for name in _baselines(study)),
    ):
        yield from _apply(test, study)


def accuracies(result: Result, prefix: str = PREFIX) -> dict[float, float]:
    """Sparsity → fraction of right answers, by ascending sparsity."""
    metrics = result.content
    return dict(sorted((float(k.removeprefix(prefix)), v) for k, v in metrics.items() if k.startswith(prefix)))


def _headline(sparsity, baseline, paper, network, data, published: tuple[int, int]) -> Test:
    ours, theirs = published
    statement = Statement(
        f"fls-over-{baseline}-{sparsity * 100:g}",
        paper,
        f"At {100 * sparsity:g} % sparsity FLS is more accurate than {label(baseline)}.",
        f"{ours} % against {theirs} % ({network} on {data}): +{ours - theirs} points",
        f"test accuracy of FLS minus that of {label(baseline)}, percentage points",
    )
    return Test(statement, baseline, (data,), network, lambda gaps: gaps.get(sparsity))


def _gain_at_high_sparsity() -> Test:
    statement = Statement(
        "fls-gain-grows-with-sparsity",
        PAPER,
        "FLS gains more over OBS at the highest sparsity than at the lowest.",
        "“most notably in the high sparsity regime” (ResNet18 on CIFAR-10 and TinyImageNet)",
        "FLS minus OBS at the highest sparsity, less the same at the lowest, percentage points of test accuracy",
    )
    return Test(
        statement, "obs", ("CIFAR-10", "TinyImageNet"), "ResNet18",
        lambda gaps: gaps[max(gaps)] - gaps[min(gaps)] if len(gaps) > 1 else None,
    )  # fmt: skip


def _comparable(baseline: str, comparable: float) -> Test:
    statement = Statement(
        f"fls-comparable-to-{baseline}",
        PAPER,
        f"FLS beats {label(baseline)} or is comparable: less than {comparable * 100:g} percentage points behind.",
        "“higher or comparable performance against two common baselines” (OBS, and one that we do not know)",
        f"test accuracy of FLS minus that of {label(baseline)}, mean over sparsities, percentage points",
    )
    data = ("CIFAR-10", "TinyImageNet")
    return Test(statement, baseline, data, "ResNet18", lambda gaps: fmean(gaps.values()), -100 * comparable)


def _baselines(study: Study) -> list[str]:
    """Every other method of the study, as the paper's second baseline is not known."""
    return [name for name in study.names("prune") if name != "fls"] or ["obs"]


def _apply(test: Test, study: Study) -> Iterator[Claim]:
    methods = study.names("prune")
    if not {"fls", test.baseline} <= set(methods):
        found = f"prunes with {', '.join(methods)} only" if methods else "prunes nothing"
        yield not_tested(test.statement, f"The study {found}; this needs fls and {test.baseline}.")
        return
    for dataset in study.datasets("prune"):
        fls, other = study.runs("prune", dataset, "fls"), study.runs("prune", dataset, test.baseline)
        gaps = {seed: _gaps(fls[seed], other[seed]) for seed in sorted(fls.keys() & other.keys())}
        values = {seed: test.quantity(gap) for seed, gap in gaps.items() if gap}
        if not values or None in values.values():
            shown = ", ".join(f"{sparsity:g}" for sparsity in sorted(set().union(*gaps.values()))) or "none"
            yield not_tested(test.statement, f"Sparsities that both methods reach on {dataset}: {shown}.")
            continue
        artefacts = [runs[seed].artefact for seed in values for runs in (fls, other)]
        setting = _setting(test, study, dataset, fls[min(values)])
        yield judge(test.statement, Evidence(dataset, values, setting, artefacts), "above", test.bound)


def _gaps(fls: Result, other: Result) -> Gaps:
    first, second = accuracies(fls), accuracies(other)
    return {sparsity: 100 * (first[sparsity] - second[sparsity]) for sparsity in first if sparsity in second}


def _setting(test: Test, study: Study, dataset: str, run: Result) -> str:
    sparsity = next(key.removeprefix(PREFIX) for key in run.content if key.startswith(PREFIX))
    data, network = data_setting(study, dataset, test.data), network_setting(run, f"{sparsity}.json", test.network)
    return f"{data}; {network}; batch norm recalibrated, no training after pruning; the paper's protocol is not known."
