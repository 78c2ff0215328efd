"""The rooms of src/fishbone and the arrows between them, as its imports have them.

    python tests/architecture.py        writes both into docs/architecture.md and docs/figures/architecture.svg

The page's first table names every room: a folder, or top-level modules that belong together. `test_architecture.py`
holds page and picture to the imports: an arrow that nobody meant fails a test, one that is meant is written down.
"""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import networkx
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path as Curve

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "src" / "fishbone"
PAGE = PROJECT / "docs" / "architecture.md"
PICTURE = PROJECT / "docs" / "figures" / "architecture.svg"
ROW = re.compile(
    r"^\| (?P<name>(?!room )[a-z]+)(?: \((?P<parts>.*?)\))? \| (?P<idea>.*?) \| (?P<imports>.*?) \|$", re.MULTILINE
)
Arrows = dict[str, set[str]]


def members(page: str) -> dict[str, str]:
    """Room of each folder and top-level module that the page's table names."""
    rooms = {}
    for row in ROW.finditer(page):
        parts = re.findall(r"`(\w+)`", row["parts"] or "") or [row["name"]]
        rooms |= dict.fromkeys(parts, row["name"])
    return rooms


def written(page: str) -> Arrows:
    """What each room imports, as the table says."""
    return {row["name"]: set(re.findall(r"\w+", row["imports"])) for row in ROW.finditer(page)}


def actual(rooms: dict[str, str]) -> Arrows:
    """What each room imports, as the source files do. Imports inside functions count."""
    arrows: Arrows = {room: set() for room in rooms.values()}
    for file in PACKAGE.rglob("*.py"):
        room = rooms[file.relative_to(PACKAGE).with_suffix("").parts[0]]
        arrows[room] |= {rooms[part] for part in imported(file)} - {room}
    return arrows


def imported(file: Path) -> Iterator[str]:
    """Folders and top-level modules of the package that ``file`` imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, *parts = name.split(".")
            if package == PACKAGE.name:
                known = parts and ((PACKAGE / parts[0]).is_dir() or (PACKAGE / f"{parts[0]}.py").is_file())
                yield parts[0] if known else "__init__"


def reduced(arrows: Arrows) -> networkx.DiGraph:
    """The arrows that follow from no others: what the picture shows.

    Raises:
        networkx.NetworkXError: they go in a circle.
    """
    return networkx.transitive_reduction(networkx.DiGraph(arrows))


def lanes(graph: networkx.DiGraph) -> tuple[networkx.DiGraph, list[list[str]]]:
    """The graph with a stop in each layer that an arrow passes, and the layers from below."""
    layers = [sorted(layer) for layer in networkx.topological_generations(graph.reverse())]
    height = {room: y for y, layer in enumerate(layers) for room in layer}
    stopping = networkx.DiGraph()
    for source, target in graph.edges:
        between = range(height[source] - 1, height[target], -1)
        stops = [f"{source}-{target}-{y}" for y in between]
        for y, stop in zip(between, stops, strict=True):
            layers[y].append(stop)
        networkx.add_path(stopping, [source, *stops, target])
    return stopping, layers


def places(graph: networkx.DiGraph, layers: list[list[str]]) -> dict[str, tuple[float, float]]:
    """(x, y) of each room and stop, near those that it is joined to."""
    across = {name: i - (len(layer) - 1) / 2 for layer in layers for i, name in enumerate(layer)}
    for _ in range(30):
        for layer in layers:
            near = {name: [across[other] for other in networkx.all_neighbors(graph, name)] for name in layer}
            ranked = sorted(layer, key=lambda name: (sum(near[name]) / len(near[name]), name))
            across |= {name: i - (len(layer) - 1) / 2 for i, name in enumerate(ranked)}
    return {name: (across[name], float(y)) for y, layer in enumerate(layers) for name in layer}


def draw(arrows: Arrows, path: Path) -> None:
    """An SVG of `reduced`, each arrow with the id ``from-to``; the same bytes each time."""
    graph = reduced(arrows)
    stopping, layers = lanes(graph)
    place = places(stopping, layers)
    wide = max(abs(x) for x, _ in place.values())
    with rc_context({"svg.hashsalt": "fishbone", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(9, 0.8 * len(layers)))
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-wide - 0.6, wide + 0.6), ylim=(-0.5, len(layers) - 0.5))
        axes.axis("off")
        for source, target in sorted(graph.edges):
            stops = [place[name] for name in way(source, target, stopping)]
            arrow = {"arrowstyle": "-|>", "mutation_scale": 11, "color": "#4c6a70", "linewidth": 1.1}
            axes.add_patch(FancyArrowPatch(path=bent(stops), gid=f"{source}-{target}", **arrow))
        box = {"boxstyle": "round,pad=0.4", "facecolor": "#e3f1ef", "edgecolor": "#00695c"}
        for room in sorted(graph):
            axes.text(*place[room], room, ha="center", va="center", fontsize=12, color="#10302c", bbox=box)
        figure.savefig(path, metadata={"Date": None, "Creator": None})


def way(source: str, target: str, stopping: networkx.DiGraph) -> list[str]:
    """The way of an arrow: its rooms and the stops between."""
    stops = sorted((name for name in stopping if name.startswith(f"{source}-{target}-")), reverse=True)
    return [source, *stops, target]


def bent(stops: list[tuple[float, float]]) -> Curve:
    """A smooth way from below the first place to above the last, upright at each stop."""
    (x, y), *_, (end_x, end_y) = stops
    stops = [(x, y - 0.24), *stops[1:-1], (end_x, end_y + 0.25)]
    points, codes = [stops[0]], [Curve.MOVETO]
    for (x, y), (next_x, next_y) in pairwise(stops):
        middle = (y + next_y) / 2
        points += [(x, middle), (next_x, middle), (next_x, next_y)]
        codes += [Curve.CURVE4] * 3
    return Curve(points, codes)


def drawn(picture: str, rooms: set[str]) -> set[tuple[str, str]]:
    """The arrows in an SVG of `draw`."""
    pairs = (found.split("-") for found in re.findall(r'<g id="([a-z]+-[a-z]+)">', picture))
    return {(source, target) for source, target in pairs if {source, target} <= rooms}


def write() -> None:
    """Bring page and picture to what the imports are now."""
    page = PAGE.read_text()
    arrows = actual(members(page))

    def row(match: re.Match[str]) -> str:
        imports = ", ".join(sorted(arrows[match["name"]])) or "–"
        parts = f" ({match['parts']})" if match["parts"] else ""
        return f"| {match['name']}{parts} | {match['idea']} | {imports} |"

    PAGE.write_text(ROW.sub(row, page))
    draw(arrows, PICTURE)


if __name__ == "__main__":
    write()
