import doctest

import pytest

from fishbone import wire
from fishbone.wire.testing import faulty


@pytest.mark.parametrize("module", [wire, faulty])
def test_the_examples_in_the_docstrings_do_what_they_show(module):
    tried = doctest.testmod(module)
    assert tried.failed == 0
    assert tried.attempted > 2
