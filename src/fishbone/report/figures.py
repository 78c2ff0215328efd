"""One figure a stage: what changes over steps or sparsities, a panel for each data set and quantity."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fishbone.report.bench_figure import draw_bench
from fishbone.report.canvas import draw_seeds, fit_to_seeds, legend, plain_log, save_svg, stacked
from fishbone.report.intervals import bounds_of
from fishbone.report.labels import method_label
from fishbone.report.methods import BLACK, GRADUAL, GREY, TOPICS, Style, styles, topic
from fishbone.report.papers.fls import accuracies
from fishbone.report.study import ResultFile, Study

TRAINING = {"validation": Style(BLACK, "o"), "training": Style(GREY, "o")}

PERCENT = (0.0, 100.0)
LEGIBLE = 8  # curves


def draw_train(study: Study, path: Path) -> None:
    """Accuracy by epoch."""
    datasets = study.datasets("train")
    with stacked(len(datasets)) as (figure, panels):
        for axes, dataset in zip(panels, datasets, strict=True):
            histories = [run.history() for run in study.of("train", dataset)]
            curves = []
            for name, column in (("validation", "validation_accuracy"), ("training", "train_accuracy")):
                shown = [100 * history[column] for history in histories]
                draw_seeds(axes, histories[0]["step"], shown, PERCENT, TRAINING[name], f"{name} images")
                curves += shown
            _finish(axes, dataset, "epoch", "accuracy (%)", curves)
            _whole_ticks(axes)
        legend(figure, panels)
        save_svg(figure, path)


def draw_prune(study: Study, path: Path) -> None:
    """Test accuracy by sparsity; the axis is the logarithm of the share of weights that remain."""
    look = styles(study.names("prune"))
    places = [
        (dataset, *group) for dataset in study.datasets("prune") for group in _groups(study.names("prune", dataset))
    ]
    with stacked(len(places)) as (figure, panels):
        for axes, (dataset, what, methods) in zip(panels, places, strict=True):
            curves = [
                curve
                for method in methods
                for curve in _draw_method(axes, study.of("prune", dataset, method), look[method], method_label(method))
            ]
            dense = [run.content["dense_test_accuracy"] for run in study.of("prune", dataset)]
            axes.axhline(100 * np.mean(dense), color=BLACK, linestyle="--", linewidth=1, label="dense")
            _finish(axes, f"{dataset}{what}", "sparsity (%)", "test accuracy (%)", [*curves, 100 * np.array(dense)])
            _sparsity_ticks(axes, study.of("prune", dataset))
        legend(figure, panels)
        save_svg(figure, path)


def _groups(methods: list[str]) -> Iterator[tuple[str, list[str]]]:
    """(addition to the title, methods) of each panel: too many curves in one cannot be told apart."""
    plain = [name for name in methods if topic(name) is None]
    gradual = [name for name in methods if topic(name) == GRADUAL]
    variants = [name for name in methods if name not in [*plain, *gradual]]
    reference = [name for name in plain if name in ("fls", "obs")]
    if plain:
        yield "", plain
    if len(variants) <= LEGIBLE:
        topics = {"variants": variants}
    else:
        topics = {what: [name for name in variants if topic(name) == what] for what in TOPICS}
    for what, names in topics.items():
        if names:
            yield f": {what}", reference + names
    if gradual:
        yield f": {GRADUAL}", gradual


def _draw_method(axes: Axes, runs: list[ResultFile], style: Style, name: str) -> list[np.ndarray]:
    found = [accuracies(run) for run in runs]
    sparsities = sorted(set.intersection(*map(set, found)))
    curves = [np.array([100 * one[sparsity] for sparsity in sparsities]) for one in found]
    draw_seeds(axes, _remaining(sparsities), curves, PERCENT, style, name, markers=True)
    return curves


def _remaining(sparsities: list[float]) -> np.ndarray:
    return -np.log10(1 - np.array(sparsities))


def _sparsity_ticks(axes: Axes, runs: list[ResultFile]) -> None:
    sparsities = sorted(set().union(*map(accuracies, runs)))
    axes.set_xticks(_remaining(sparsities), [f"{100 * sparsity:g}" for sparsity in sparsities])


def draw_federate(study: Study, path: Path) -> None:
    """Accuracy and loss on the validation split by round."""
    quantities = (
        ("validation_accuracy", 100, "validation accuracy (%)"),
        ("validation_loss", 1, "validation loss (nats)"),
    )
    _draw_steps(study, "federate", quantities, "round", "linear", path)


def draw_gan(study: Study, path: Path) -> None:
    """Fréchet classifier distance to the validation split by round, on a logarithmic axis."""
    _draw_steps(study, "gan", (("fcd_validation", 1, "validation FCD"),), "round", "log", path)


def _draw_steps(
    study: Study, stage: str, quantities: Sequence[tuple[str, float, str]], step: str, scale: str, path: Path
) -> None:
    look = styles(study.names(stage))
    places = [(dataset, *quantity) for dataset in study.datasets(stage) for quantity in quantities]
    with stacked(len(places)) as (figure, panels):
        for axes, (dataset, column, factor, name) in zip(panels, places, strict=True):
            if scale == "log":
                axes.set_yscale("log")
                plain_log(axes.yaxis)
            curves = []
            for method in study.names(stage, dataset):
                histories = [run.history() for run in study.of(stage, dataset, method)]
                shown = [factor * history[column] for history in histories]
                low, high = bounds_of(column)
                bounds = factor * low, factor * high
                draw_seeds(axes, histories[0]["step"], shown, bounds, look[method], method_label(method))
                curves += shown
            _finish(axes, dataset, step, name, curves)
            _whole_ticks(axes)
        legend(figure, panels)
        save_svg(figure, path)


def _finish(axes: Axes, dataset: str, x: str, y: str, curves: list[np.ndarray]) -> None:
    axes.set(title=dataset, xlabel=x, ylabel=y)
    fit_to_seeds(axes, curves)


def _whole_ticks(axes: Axes) -> None:
    """Epochs and rounds are counted: no tick at 2.5."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


FIGURES: dict[str, Callable[[Study, Path], None]] = {
    "train": draw_train,
    "prune": draw_prune,
    "federate": draw_federate,
    "gan": draw_gan,
    "bench": draw_bench,
}
