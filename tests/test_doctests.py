"""Examples in docstrings are true."""

import doctest
import importlib
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[1] / "src"
FILES = [path for path in sorted((SOURCES / "fishbone").rglob("*.py")) if ">>> " in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCES).as_posix())
def test_the_examples_of_a_module_give_what_they_say(path):
    parts = path.relative_to(SOURCES).with_suffix("").parts
    module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
    found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert found.attempted
    assert found.failed == 0


def test_there_are_examples():
    assert FILES
