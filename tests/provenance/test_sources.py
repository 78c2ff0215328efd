import re
from pathlib import Path

import pytest

from fishbone.provenance import sources as module
from fishbone.provenance.params import STAGES
from fishbone.provenance.sources import code, file_digest, sources


def test_closure_follows_imports_inside_functions_and_package_data(tmp_path, monkeypatch):
    package = tmp_path / "src" / "fishbone"
    for name, text in {
        "__init__.py": "",
        "stages/__init__.py": "",
        "stages/a.py": "import numpy\ndef f():\n    from fishbone.lib.deep import g\n",
        "stages/b.py": "",
        "lib/__init__.py": "",
        "lib/deep.py": "from fishbone import top\ng = 1\n",
        "lib/unused.py": "",
        "lib/page.html": "",
        "lib/page.html~": "",
        "lib/page.html.orig": "",
        "lib/#page.html#": "",
        "lib/.#page.html": "",
        "lib/notes.txt": "",
        "lib/apart/page.html": "",
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


@pytest.mark.parametrize("name", ["lazy", "*", "typo"])
def test_a_name_that_no_file_is_known_to_define_is_refused(name, tmp_path, monkeypatch):
    package = tmp_path / "fishbone"
    for file, text in {
        "__init__.py": "",
        "stages/a.py": f"from fishbone.lib import {name}\n",
        "stages/b.py": "from fishbone.lib import here, module\nfrom fishbone.lib.module import C, f, x, y\n",
        "lib/__init__.py": "here = 1\ndef __getattr__(name): from fishbone.lib.module import lazy; return lazy\n",
        "lib/module.py": "import x\ny: int = 1\nlazy = 2\ndef f(): typo = 1\nclass C: pass\n",
    }.items():
        (package / file).parent.mkdir(parents=True, exist_ok=True)
        (package / file).write_text(text)
    monkeypatch.setattr(module, "PACKAGE", package)
    assert [path.split("/")[-1] for path in sources("b")] == ["__init__.py", "__init__.py", "module.py", "b.py"]
    with pytest.raises(ValueError, match=rf"a\.py:1: fishbone\.lib does not define {re.escape(name)}: import it from"):
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


def test_other_entrances_than_the_stages_job_are_no_source_of_it():
    closures = {stage: " ".join(sources(stage)) for stage in ("prune", "export", "report")}
    for stage in ("prune", "export"):
        for name in ("pruning/surgeon", "pruning/model_file", "pruning/loading", "prune/file_job"):
            assert f"{name}.py" not in closures[stage]
    for name in ("pruner", "trajectory", "judge"):
        assert f"pruning/{name}.py" in closures["prune"]
    assert "unrecorded" not in closures["report"]
    assert "/report/" not in " ".join(path for path in sources("bench") if "/stages/" not in path)
    assert {path.name for path in (module.PACKAGE / "report" / "unrecorded").iterdir()} == {"bench.html", "run.html"}


SOURCE = '''"""Docstring."""
import os  # why


class A:
    """Docstring
    of two lines."""

    x = {"a": 1,
         "b": f"{os.sep!r:>{10}} {f'{1}'}"}  # comment

    def f(self):
        """Docstring."""
        return """no
        docstring"""
'''


def test_comments_docstrings_and_blank_lines_are_no_part_of_the_code_and_all_else_is():
    bare = '''import os
class A:
    x = {"a": 1, "b": f"{os.sep!r:>{10}} {f'{1}'}"}
    def f(self):
        return """no
        docstring"""
'''
    assert list(code(SOURCE)) == list(code(bare))
    for old, new in (("no\n", "none\n"), ("'{1}'", "'{2}'"), ('"a"', '"b"'), ("    def f", "def f"), ("!r", "!s")):
        assert list(code(SOURCE.replace(old, new, 1))) != list(code(SOURCE))


def test_the_digest_is_the_same_on_every_python(tmp_path):
    """Found with Python 3.11, 3.12, 3.13 and 3.14."""
    (tmp_path / "a.py").write_text(SOURCE)
    assert file_digest(tmp_path / "a.py") == "9a159ece37206775"
