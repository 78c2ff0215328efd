"""``fishbone bench --html``: what devices measured, as one page that needs no network."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fishbone.report.bench_figure import draw_results
from fishbone.report.bench_table import bench_notes, results_table
from fishbone.report.page import inline_svg, templates
from fishbone.report.study import ResultFile


def bench_page(measured: Sequence[dict[str, Any]], dataset: str) -> str:
    """The page.

    Args:
        measured: `fishbone.bench.results.DeviceResult` as dictionaries, one a device.
        dataset: name of the data behind accuracy; without accuracy there is no figure.
    """
    results = [ResultFile("bench", dataset, content["device"], None, Path(), content) for content in measured]
    shown = [result for result in results if any(model["accuracy"] for model in result.content["models"])]
    figure = None
    if shown:
        with tempfile.TemporaryDirectory() as folder:
            draw_results(shown, file := Path(folder) / "bench.svg")
            figure = inline_svg(file, "accuracy against time and size")
    return (
        templates()
        .get_template("unrecorded/bench.html")
        .render(
            title=f"On {len(results)} device{'s' if len(results) > 1 else ''}: {', '.join(r.name for r in results)}",
            figure=figure,
            table=results_table(results),
            notes=[note for result in results for note in bench_notes(result)],
        )
    )
