"""How all figures look, and SVG files whose bytes depend on the drawing alone.

Panels are stacked in one column, so that a figure fills a phone's width and its text stays readable. Text stays text.
Every id starts with the figure's name, because the HTML page holds all figures in one document.
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from fishbone.files import write_text
from fishbone.report.intervals import Bounds, band
from fishbone.report.methods import BLACK, GREY, Style

WIDTH, PANEL, MARGIN = 4.8, 2.7, 0.5  # inches; the margin has room for two rows of the legend
ROW = 0.2  # of the legend
UNNAMED = re.compile(r"_(nolegend_|(child|container)\d+)")
LOOK = {
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "legend.fontsize": 10,
    "svg.fonttype": "none",
    "text.parse_math": False,  # names of files may hold dollars
}


@contextmanager
def stacked(panels: int) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure with axes below each other. Draw and save it inside; a person's matplotlibrc has no say.

    Args:
        panels: how many axes stand above each other.

    Yields:
        The figure and its axes, from top to bottom.
    """
    with style.context(["default", LOOK]):
        figure = Figure(figsize=(WIDTH, MARGIN + PANEL * panels), layout="constrained")
        yield figure, list(figure.subplots(panels, 1, squeeze=False)[:, 0])


def save_svg(figure: Figure, path: Path) -> None:
    """Write a figure; call this inside `stacked`.

    Args:
        figure: that which `stacked` gave.
        path: the SVG file to write, whose name begins the ids in it.
    """
    buffer = io.StringIO()
    with style.context({"svg.hashsalt": path.stem}):
        # matplotlib declares no types here
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    prefix = f"{path.stem}-"
    text = re.sub(r'(\bid="|\bhref="#|url\(#)', rf"\g<1>{prefix}", buffer.getvalue())
    write_text(path, re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE))


def plain_log(axis: Axis) -> None:
    """Ticks at 1, 2, 5, 10, … in plain digits."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ScalarFormatter())
    axis.set_minor_formatter(NullFormatter())


def legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """Draw one legend above all panels; a label that several panels have appears once.

    Args:
        figure: it becomes higher where the legend has many rows.
        axes: the panels that it explains.
    """
    handles: dict[str, Any] = {}  # to the stubs, containers are no artists; to legends they are
    for panel in axes:
        # matplotlib's own list leaves out all names that begin with an underscore, files' as well as its own.
        drawn = [artist for artist in panel.get_children() if isinstance(artist, Line2D | Patch | Collection)]
        for artist in (*drawn, *panel.containers):
            if (name := str(artist.get_label() or "")) and not UNNAMED.fullmatch(name):
                handles.setdefault(name, artist)
    if handles:
        columns = 2 if len(handles) > 3 else 3
        figure.legend(list(handles.values()), list(handles), loc="outside upper left", ncols=columns)
        figure.set_figheight(figure.get_figheight() + ROW * max(0, -(-len(handles) // columns) - 2))


def draw_seeds(
    axes: Axes,
    x: np.ndarray,
    curves: Sequence[np.ndarray],
    bounds: Bounds,
    style: Style,
    name: str,
    markers: bool = False,
) -> None:
    """Draw each seed as a faint line, their mean as a strong one, and its 95 % band where there are two or more.

    Args:
        axes: the panel to draw in.
        x: (T,), the same for all seeds.
        curves: one (T,) a seed.
        bounds: what the curves' quantity can be, in its unit.
        style: colour and marker of the method.
        name: the method's in the legend.
        markers: whether the mean has a marker at each point.
    """
    # References lie below, so that a method that equals its reference is not hidden by it.
    look: dict[str, Any] = {"color": style.colour, "zorder": 2.1 if style.colour in (BLACK, GREY) else 2.2}
    for curve in curves:
        axes.plot(x, curve, **look, linewidth=0.8, alpha=0.35)
    mean, low, high = band(curves, bounds)
    axes.plot(x, mean, **look, linewidth=1.8, marker=style.marker if markers else None, markersize=6, label=name)
    if len(curves) > 1:
        axes.fill_between(x, low, high, color=style.colour, alpha=0.13, linewidth=0)


def fit_to_seeds(axes: Axes, curves: Sequence[np.ndarray]) -> None:
    """Let the y axis span the seeds: with three of them, 95 % bands may reach far beyond.

    Args:
        axes: the panel whose limits are set.
        curves: all seeds of all its methods.
    """
    values = np.concatenate([np.ravel(curve) for curve in curves])
    low, high = np.nanmin(values), np.nanmax(values)
    if axes.get_yscale() == "log":
        room = (high / low) ** 0.06
        axes.set_ylim(low / room, high * room)
    else:
        room = 0.06 * (high - low) or 1.0
        axes.set_ylim(low - room, high + room)
