"""The rooms of src/fishbone, the arrows between them, and what docs/architecture.md says of both."""

import ast
import importlib
import re
from itertools import pairwise

import architecture
import networkx
import pytest
from architecture import PACKAGE, PAGE, PICTURE

PAGE_TEXT = PAGE.read_text()
ROOMS = architecture.members(PAGE_TEXT)
WORKFLOW = {"stages", "provenance", "front"}


def test_every_folder_and_module_is_in_a_room_and_every_room_is_there():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert set(ROOMS) == folders | modules


def test_the_page_has_every_arrow_and_no_other():
    remedy = "If the arrow is meant: python tests/architecture.py"
    assert architecture.written(PAGE_TEXT) == architecture.actual(ROOMS), remedy


def test_the_picture_shows_every_arrow_that_follows_from_no_others():
    graph = architecture.reduced(architecture.actual(ROOMS))
    assert architecture.drawn(PICTURE.read_text(), set(ROOMS.values())) == set(graph.edges)


def test_arrows_go_in_no_circle():
    graph = networkx.DiGraph(architecture.actual(ROOMS))
    assert list(networkx.simple_cycles(graph)) == []


def test_libraries_import_neither_stages_nor_the_workflow():
    for room, targets in architecture.actual(ROOMS).items():
        if room not in WORKFLOW:
            assert not targets & WORKFLOW, room
    assert "provenance" not in architecture.actual(ROOMS)["stages"]


# Of two neighbours the second never imports the first, not even through others: the order that a new arrow must keep.
@pytest.mark.parametrize(
    "chain",
    [
        "stages gan federated split wire ground",
        "federated nn data ground",
        "stages pruning curvature nn",
        "stages privacy wire",
        "privacy nn",
        "stages bench sparse export ground",
        "front provenance ground",
    ],
)
def test_arrows_point_down(chain):
    reach = networkx.transitive_closure(networkx.DiGraph(architecture.actual(ROOMS)))
    rooms = chain.split()
    for above, below in pairwise(rooms):
        assert {above, below} <= set(reach)
        assert not reach.has_edge(below, above), (below, above)


def test_the_agent_that_runs_alone_on_a_device_imports_nothing_of_the_package():
    assert list(architecture.imported(PACKAGE / "bench" / "agent.py")) == []


def test_an_import_that_is_written_in_any_form_is_an_arrow(tmp_path):
    file = tmp_path / "a.py"
    file.write_text(
        "import fishbone.nn.train\nfrom fishbone import wire, __version__\n"
        "def f():\n    from fishbone.data.dataset import Dataset\n"
    )
    assert sorted(architecture.imported(file)) == ["__init__", "data", "nn", "wire"]


NAMED = sorted({name for name in re.findall(r"`([a-z_]+(?:\.\w+)+)`", PAGE_TEXT) if name.split(".")[0] in ROOMS})


@pytest.mark.parametrize("name", NAMED)
def test_what_the_page_names_exists(name):
    parts = name.split(".")
    files = [PACKAGE.joinpath(*parts[:n]) for n in range(len(parts), 0, -1)]
    depth = next(len(parts) - i for i, f in enumerate(files) if f.with_suffix(".py").is_file() or f.is_dir())
    found = importlib.import_module(".".join(("fishbone", *parts[:depth])))
    for part in parts[depth:]:
        found = getattr(found, part) if hasattr(found, part) else found.__annotations__[part]


def test_the_page_names_enough_to_be_held():
    assert len(NAMED) > 40


def test_only_absolute_imports_name_their_file():
    for path in PACKAGE.rglob("*.py"):
        levels = [n.level for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)]
        assert not any(levels), path
