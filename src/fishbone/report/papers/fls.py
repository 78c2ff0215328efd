"""FLS: McGowan et al., "Efficient Model Compression Techniques with FishLeg", arXiv 2412.02328 (2024).

Tested on accuracy on the test split after recalibrating batch norm, alike for all methods. Claims of accuracy come from
one quantity: for each seed, the gap between a method and its reference at each sparsity, in percentage points. Claims
of cost come from time and memory measured in the same runs.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from fishbone.files import read_json
from fishbone.report.intervals import Bounds
from fishbone.report.labels import method_label
from fishbone.report.methods import METHODS, topic
from fishbone.report.papers.setting import data_setting, network_setting
from fishbone.report.study import ResultFile, Study
from fishbone.report.verdict import Claim, Evidence, Statement, judge, not_tested

PAPER = METHODS["fls"].paper
EARLIER = "FLS, earlier version (submitted to ICLR 2024)"
PREFIX = "test_accuracy/"
DATA = "CIFAR-10", "TinyImageNet"
Gaps = dict[float, float]
DIFFERENCE, OF_DIFFERENCES = (-100.0, 100.0), (-200.0, 200.0)  # of accuracies, in percentage points


@dataclass(frozen=True)
class Test:
    """A statement on accuracy, and how to test it.

    Attributes:
        statement: what the paper says.
        baseline: the method that FLS is compared with.
        data: the paper's data sets.
        network: the network that the paper tells of.
        quantity: what is claimed to lie above ``bound``, from the gaps; None: they do not tell.
        bound: what the quantity is claimed to lie above.
        method: that which is compared, FLS or a variant of it.
        bounds: what the quantity can be.
    """

    statement: Statement
    baseline: str
    data: tuple[str, ...]
    network: str
    quantity: Callable[[Gaps], float | None]
    bound: float = 0.0
    method: str = "fls"
    bounds: Bounds = DIFFERENCE


@dataclass(frozen=True)
class CostTest:
    """A statement on cost: that of ``method`` over that of ``baseline`` lies below 1; ``key`` says which cost."""

    statement: Statement
    method: str
    baseline: str
    key: str


def claims(study: Study, comparable: float) -> Iterator[Claim]:
    """All claims of the paper.

    Args:
        study: all results of the study.
        comparable: accuracies that differ by this fraction count as comparable.
    """
    for test in (
        _headline(0.95, "obs", PAPER, "ResNet18", "CIFAR-10", (84, 60)),
        _headline(0.8, "obs", PAPER, "ResNet18", "TinyImageNet", (53, 48)),
        _headline(0.75, "mfac", EARLIER, "ResNet50", "ImageNet", (62, 41)),
        _gain_at_high_sparsity(),
        *(_comparable(name, comparable) for name in _baselines(study)),
        _assimilation(comparable),
    ):
        yield from _apply(test, study)
    yield from _noise(study)
    for cost_test in COST_TESTS:
        yield from _apply_cost(cost_test, study)


def accuracies(result: ResultFile, prefix: str = PREFIX) -> dict[float, float]:
    """Sparsity → fraction of right answers, by ascending sparsity.

    Args:
        result: of one run of the stage `prune`.
        prefix: what the keys of its metrics begin with, before the sparsity.
    """
    metrics = result.content
    return dict(sorted((float(k.removeprefix(prefix)), v) for k, v in metrics.items() if k.startswith(prefix)))


def cost(result: ResultFile) -> dict[str, float]:
    """What the run measured of itself; empty where it was resumed or measured nothing."""
    path = result.beside("cost.json")
    measured = read_json(path) if path.exists() else {}
    return {key: value for key, value in measured.items() if value is not None}


def _cost_statement(method: str, baseline: str, key: str, what: str, unit: str, published: str, name: str) -> CostTest:
    statement = Statement(name, PAPER, what, published, f"{unit}, minus 1, in percent (geometric mean)")
    return CostTest(statement, method, baseline, key)


COST_TESTS = (
    _cost_statement(
        "fls-assimilated", "fls-renewed", "seconds",
        "Refining Q while pruning (progressive assimilation) is cheaper than estimating it again.",
        "wall time of pruning, refined over re-estimated", "no number in the abstract", "fls-assimilation-is-cheaper",
    ),
    _cost_statement(
        "fls", "obs", "peak_bytes", "FLS needs less memory than OBS.", "peak memory, FLS over OBS",
        "flexible tensor factorisation saves memory (no number in the abstract)", "fls-memory-below-obs",
    ),
    _cost_statement(
        "fls", "mfac", "peak_bytes", "FLS needs less memory than M-FAC.", "peak memory, FLS over M-FAC",
        "flexible tensor factorisation saves memory (no number in the abstract)", "fls-memory-below-mfac",
    ),
)  # fmt: skip


def _assimilation(comparable: float) -> Test:
    statement = Statement(
        "fls-assimilation-keeps-accuracy",
        PAPER,
        "Refining Q while pruning (progressive assimilation) is as accurate as estimating it again, or less than "
        f"{comparable * 100:g} percentage points behind.",
        "no number in the abstract",
        "test accuracy refined minus re-estimated, mean over sparsities, percentage points",
    )
    return Test(
        statement, "fls-renewed", DATA, "ResNet18", lambda gaps: fmean(gaps.values()),
        -100 * comparable, "fls-assimilated",
    )  # fmt: skip


def _noise(study: Study) -> Iterator[Claim]:
    """What a tenth of the images costs FLS, less what it costs OBS."""
    statement = Statement(
        "fls-stands-noise-better",
        PAPER,
        "Estimating the inverse directly suffers less from few samples than inverting an estimate.",
        "“less sensitive to noise” (no number in the abstract)",
        "test accuracy lost by FLS with a tenth of the curvature images, less what OBS loses, mean over sparsities, "
        "percentage points",
    )
    methods = "fls", "fls-tenth", "obs", "obs-tenth"
    if not set(methods) <= set(study.names("prune")):
        yield not_tested(statement, f"This needs {', '.join(methods)}.")
        return
    for dataset in study.datasets("prune"):
        runs = [study.runs("prune", dataset, method) for method in methods]
        seeds = sorted(set.intersection(*(set(one) for one in runs)))
        values = {}
        for seed in seeds:
            few_fls, few_obs = (_gaps(runs[i + 1][seed], runs[i][seed]) for i in (0, 2))
            values[seed] = fmean(few_obs.values()) - fmean(few_fls.values())
        artefacts = [one[seed].artefact for seed in seeds for one in runs]
        setting = _setting(study, dataset, runs[0][seeds[0]], DATA) if seeds else dataset
        yield judge(statement, Evidence(dataset, values, setting, artefacts, bounds=OF_DIFFERENCES), "below")


def _apply_cost(test: CostTest, study: Study) -> Iterator[Claim]:
    if not {test.method, test.baseline} <= set(study.names("prune")):
        yield not_tested(test.statement, f"This needs {test.method} and {test.baseline}.")
        return
    for dataset in study.datasets("prune"):
        one, other = (study.runs("prune", dataset, name) for name in (test.method, test.baseline))
        spent = {seed: (cost(one[seed]), cost(other[seed])) for seed in sorted(one.keys() & other.keys())}
        values = {
            seed: ours[test.key] / theirs[test.key]
            for seed, (ours, theirs) in spent.items()
            if ours.get(test.key) and theirs.get(test.key)
        }
        if not values:
            yield not_tested(test.statement, f"No pair of runs on {dataset} measured it.", dataset)
            continue
        artefacts = [runs[seed].artefact for seed in values for runs in (one, other)]
        measured = "measured in one process a run, on a machine that may do other things"
        setting = f"{_setting(study, dataset, one[min(values)], DATA)} Cost: {measured}."
        yield judge(test.statement, Evidence(dataset, values, setting, artefacts, ratios=True), "below")


def _headline(sparsity: float, baseline: str, paper: str, network: str, data: str, published: tuple[int, int]) -> Test:
    ours, theirs = published
    statement = Statement(
        f"fls-over-{baseline}-{sparsity * 100:g}",
        paper,
        f"At {100 * sparsity:g} % sparsity FLS is more accurate than {method_label(baseline)}.",
        f"{ours} % against {theirs} % ({network} on {data}): +{ours - theirs} points",
        f"test accuracy of FLS minus that of {method_label(baseline)}, percentage points",
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
        statement, "obs", DATA, "ResNet18",
        lambda gaps: gaps[max(gaps)] - gaps[min(gaps)] if len(gaps) > 1 else None, bounds=OF_DIFFERENCES,
    )  # fmt: skip


def _comparable(baseline: str, comparable: float) -> Test:
    statement = Statement(
        f"fls-comparable-to-{baseline}",
        PAPER,
        f"FLS beats {method_label(baseline)} or is comparable: "
        f"less than {comparable * 100:g} percentage points behind.",
        "“higher or comparable performance against two common baselines” (OBS, and one that we do not know)",
        f"test accuracy of FLS minus that of {method_label(baseline)}, mean over sparsities, percentage points",
    )
    return Test(statement, baseline, DATA, "ResNet18", lambda gaps: fmean(gaps.values()), -100 * comparable)


def _baselines(study: Study) -> list[str]:
    """Every other method of the study, as the paper's second baseline is not known."""
    return [name for name in study.names("prune") if name != "fls" and topic(name) is None] or ["obs"]


def _apply(test: Test, study: Study) -> Iterator[Claim]:
    methods = study.names("prune")
    if not {test.method, test.baseline} <= set(methods):
        found = f"prunes with {', '.join(methods)} only" if methods else "prunes nothing"
        yield not_tested(test.statement, f"The study {found}; this needs {test.method} and {test.baseline}.")
        return
    for dataset in study.datasets("prune"):
        fls, other = study.runs("prune", dataset, test.method), study.runs("prune", dataset, test.baseline)
        gaps = {seed: _gaps(fls[seed], other[seed]) for seed in sorted(fls.keys() & other.keys())}
        reached = {seed: test.quantity(gap) for seed, gap in gaps.items() if gap}
        values = {seed: value for seed, value in reached.items() if value is not None}
        if not values or len(values) < len(reached):
            shown = ", ".join(f"{sparsity:g}" for sparsity in sorted(set().union(*gaps.values()))) or "none"
            yield not_tested(test.statement, f"Sparsities that both methods reach on {dataset}: {shown}.", dataset)
            continue
        artefacts = [runs[seed].artefact for seed in values for runs in (fls, other)]
        setting = _setting(study, dataset, fls[min(values)], test.data, test.network)
        evidence = Evidence(dataset, values, setting, artefacts, bounds=test.bounds)
        yield judge(test.statement, evidence, "above", test.bound)


def _gaps(fls: ResultFile, other: ResultFile) -> Gaps:
    first, second = accuracies(fls), accuracies(other)
    return {sparsity: 100 * (first[sparsity] - second[sparsity]) for sparsity in first if sparsity in second}


def _setting(study: Study, dataset: str, run: ResultFile, data: tuple[str, ...], network: str = "ResNet18") -> str:
    """What was done here, and what the paper did where it is known to differ."""
    parts = [data_setting(study, dataset, data), network_setting(run, "networks.json", network)]
    if "prune" in study.params:
        parts += _curvature(study.params["prune"])
    return "; ".join([*parts, "batch norm recalibrated, no training after pruning; the paper's protocol is not known."])


def _curvature(params: Mapping[str, Any]) -> list[str]:
    steps, temperature = params["fls"]["first_steps"], params["temperature"]
    return [
        f"FLS learnt in {steps} steps" if steps else "FLS at its closed-form start, nothing learnt",
        f"{params['curvature_images']:,} images for the Fisher matrix"
        + (f", its softmax at temperature {temperature:g}" if temperature != 1 else ""),
    ]
