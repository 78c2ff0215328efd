import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name", ["export.int8", "export.metadata", "export.names", "export.origin", "export.parity", "export.processor"]
)
def test_examples_in_docstrings_hold(name):
    found = doctest.testmod(importlib.import_module(f"fishbone.export.{name}"))
    assert (found.failed, found.attempted > 0) == (0, True)
