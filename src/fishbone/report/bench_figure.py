"""Accuracy of exported networks against time, a panel a data set and device, and against size, a panel a data set.

Time is relative to the baseline: ratios paired by round, with their 95 % interval, are what a shared machine can tell
(absolute times are in the table). Hollow markers are the sparse runtime, those with a black edge int8, pale ones of an
accuracy that rests on an assumption or on other outputs: these are never the best at their size. Accuracy has Wilson's
95 % interval. A marker's area grows with the compressed size, up to that of the largest file.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from fishbone.report.bench_table import doubt
from fishbone.report.canvas import legend, plain_log, save_svg, stacked
from fishbone.report.labels import benched, in_sparse_runtime, method_label, percent, row_label
from fishbone.report.methods import GREY, Style, styles
from fishbone.report.study import ResultFile, Study

SMALLEST, LARGEST, IN_LEGEND = 20, 200, 50  # areas of markers
PALE = 0.35


def draw_bench(study: Study, path: Path) -> None:
    """Draw a study's benchmarks.

    Args:
        study: all results, of which those of the stage `bench` are drawn.
        path: the SVG file to write.
    """
    draw_results(study.of("bench"), path)


def draw_results(results: Sequence[ResultFile], path: Path) -> None:
    """Draw benchmarks of any origin.

    Args:
        results: what devices measured, one file a device and data set.
        path: the SVG file to write.
    """
    methods = [benched(model).method for result in results for model in result.content["models"]]
    look = styles(methods)
    largest = max((model["facts"]["zstd_bytes"] for result in results for model in _measured(result)), default=1)
    drawn = [(_draw_time, result) for result in results]
    drawn += [(_draw_size, result) for result in {result.dataset: result for result in reversed(results)}.values()]
    with stacked(len(drawn)) as (figure, panels):
        for (draw, result), axes in zip(drawn, panels, strict=True):
            draw(axes, result, look, largest)
        legend(figure, panels)
        save_svg(figure, path)


def _draw_time(axes: Axes, result: ResultFile, look: Mapping[str, Style], largest: int) -> None:
    name, floor = result.content["baseline"], result.content["noise_floor"]
    if floor:
        axes.axvspan(1 - floor, 1 + floor, color=GREY, alpha=0.15, linewidth=0, label="noise of the baseline")
    for model in _measured(result):
        ratio = model["speedup"]
        if ratio or model["name"] == name:
            x = (1 / ratio["median"], 1 / ratio["high"], 1 / ratio["low"]) if ratio else (1, 1, 1)
            _point(axes, x, model, look, largest)
    axes.set(title=_title(result), xlabel=f"time relative to {_baseline(result)}", ylabel="test accuracy (%)")


def _draw_size(axes: Axes, result: ResultFile, look: Mapping[str, Style], largest: int) -> None:
    axes.set_xscale("log")
    points = []
    for model in _files(result):
        size = model["facts"]["zstd_bytes"] / 1e3
        _point(axes, (size, size, size), model, look, largest)
        points.append((size, 100 * model["accuracy"]["fraction"], doubt(model)))
    front = pareto([(size, accuracy) for size, accuracy, why in points if not why])
    sizes, best = zip(*front, strict=True) if front else ((), ())
    axes.plot(sizes, best, color=GREY, linewidth=1, drawstyle="steps-post", label="best at its size", zorder=1)
    if points:
        axes.set_xlim(min(size for size, *_ in points) / 1.6, max(size for size, *_ in points) * 1.6)
    plain_log(axes.xaxis)
    _name_sparsities(axes, result)
    axes.set(title=result.dataset, xlabel="compressed file (kB)", ylabel="test accuracy (%)")


def pareto(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other point of at most their cost reaches, by ascending cost.

    Args:
        points: a (cost, gain) each.
    """
    front: list[tuple[float, float]] = []
    for cost, gain in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or gain > front[-1][1]:
            front.append((cost, gain))
    return front


def _measured(result: ResultFile) -> list[Mapping[str, Any]]:
    """Models with an accuracy; the others are in the table."""
    return [model for model in result.content["models"] if model["accuracy"]]


def _files(result: ResultFile) -> list[Mapping[str, Any]]:
    """Each file once: the sparse runtime runs files that ONNX Runtime has run already."""
    return [model for model in _measured(result) if not in_sparse_runtime(model)]


def _point(
    axes: Axes, x: tuple[float, float, float], model: Mapping[str, Any], look: Mapping[str, Style], largest: int
) -> None:
    """A marker at (value, low, high) and the model's accuracy, with bars."""
    score, method = model["accuracy"], benched(model).method
    value, low, high = x
    y, y_low, y_high = (100 * score[key] for key in ("fraction", "low", "high"))
    style, share = look[method], model["facts"]["zstd_bytes"] / largest
    axes.errorbar(
        value, y, xerr=[[value - low], [high - value]], yerr=[[y - y_low], [y_high - y]],
        color=style.colour, linewidth=1, alpha=0.5, zorder=2,
    )  # fmt: skip
    face, edge, name = style.colour, style.colour, method_label(method)
    if in_sparse_runtime(model):
        face, name = "none", f"{name}, sparse runtime"
    elif model["facts"]["quantised"]:
        edge, name = "black", f"{name}, int8"
    drawn: dict[str, Any] = {"marker": style.marker, "facecolors": face, "edgecolors": edge, "zorder": 3}
    if why := doubt(model):
        drawn["alpha"], name = PALE, f"{name}, {why}"
    axes.scatter(value, y, s=SMALLEST + (LARGEST - SMALLEST) * share, **drawn)
    axes.scatter([], [], s=IN_LEGEND, label=name, **drawn)


def _name_sparsities(axes: Axes, result: ResultFile) -> None:
    """Each sparsity above the best of its networks: they are of about one size."""
    groups: dict[str, list[tuple[float, float]]] = {}
    for model in _files(result):
        if model["facts"]["quantised"]:
            continue
        point = 100 * model["accuracy"]["high"], model["facts"]["zstd_bytes"] / 1e3
        groups.setdefault(percent(benched(model)), []).append(point)
    for text, points in groups.items():
        y, x = max(points)
        axes.annotate(text, (x, y), (0, 4), textcoords="offset points", ha="center", fontsize=10)
    axes.margins(y=0.15)


def _baseline(result: ResultFile) -> str:
    """The baseline for people; its name, where nothing was measured."""
    name = result.content["baseline"]
    return next((row_label(model) for model in result.content["models"] if model["name"] == name), name)


def _title(result: ResultFile) -> str:
    status = result.content["status"]
    return f"{result.dataset} on {result.name}" + ("" if status == "ok" else f": {status}")
