from pathlib import Path

import pytest

from fishbone.provenance import sources as module
from fishbone.provenance.params import STAGES
from fishbone.provenance.sources import sources


def test_closure_follows_imports_inside_functions_and_package_data(tmp_path, monkeypatch):
    package = tmp_path / "src" / "fishbone"
    for name, text in {
        "__init__.py": "",
        "stages/__init__.py": "",
        "stages/a.py": "import numpy\ndef f():\n    from fishbone.lib.deep import g\n",
        "stages/b.py": "",
        "lib/__init__.py": "",
        "lib/deep.py": "from fishbone import top\n",
        "lib/unused.py": "",
        "lib/page.html": "",
        "top.py": "",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.setattr(module, "PACKAGE", package)
    names = " ".join(path.removeprefix("src/fishbone/") for path in sources("a"))
    assert names == "__init__.py lib/__init__.py lib/deep.py lib/page.html stages/__init__.py stages/a.py top.py"


def test_relative_import_is_refused_because_its_file_would_be_missed(tmp_path, monkeypatch):
    package = tmp_path / "fishbone"
    (package / "stages").mkdir(parents=True)
    (package / "stages" / "a.py").write_text("from .b import c\n")
    monkeypatch.setattr(module, "PACKAGE", package)
    with pytest.raises(ValueError, match=r"a\.py:1: write the import absolutely"):
        sources("a")


def test_stages_depend_on_their_room_and_never_on_the_workflow():
    rooms = {stage: {Path(path).parts[2] for path in sources(stage)} for stage in STAGES}
    assert "pruning" in rooms["prune"]
    assert "federated" in rooms["federate"]
    assert "gan" in rooms["gan"]
    for stage in STAGES:
        assert "provenance" not in rooms[stage]
        assert "cli.py" not in rooms[stage]
    assert "pruning" not in rooms["train"]


def test_arrows_between_rooms_point_one_way():
    """Libraries never import stages or the workflow; the lower rooms never import the upper ones."""
    lower, upper = {"data", "nn", "curvature", "split"}, {"federated", "gan", "pruning", "edge", "report"}
    for path in module.PACKAGE.rglob("*.py"):
        room = path.relative_to(module.PACKAGE).parts[0]
        targets = {file.relative_to(module.PACKAGE).parts[0] for file in module._imports(path)}
        if room in lower | upper:
            assert not targets & {"stages", "provenance", "cli.py"}, path
        if room in lower:
            assert not targets & upper, path
