import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["export.metadata", "export.names", "export.origin", "export.parity"])
def test_examples_in_docstrings_hold(name):
    found = doctest.testmod(importlib.import_module(f"fishbone.{name}"))
    assert (found.failed, found.attempted > 0) == (0, True)
