import re

import pytest
from workspace import PROJECT


@pytest.mark.parametrize("rules", sorted((PROJECT / "workflow" / "rules").glob("*.smk")), ids=lambda path: path.stem)
def test_whatever_reaches_a_shell_is_quoted(rules):
    """A data set called ``$(touch X)`` would otherwise be run."""
    commands = rules.read_text().split("\n    shell:\n")[1:]
    fields = [field for command in commands for field in re.findall(r"\{[^}]*\}", command)]
    assert [field for field in fields if not field.endswith(":q}")] == []
    assert fields or not commands
