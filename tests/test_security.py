"""What SECURITY.md promises of the code as a whole; that each promise names a test that is there."""

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
FILES = sorted((PROJECT / "src" / "fishbone").rglob("*.py"))
UNPICKLERS = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
CALLS = {"eval", "exec", "compile", "os.system", "os.popen", "torch.load"}
LOADERS = {"yaml.Loader", "yaml.FullLoader", "yaml.UnsafeLoader"}  # they make more than plain values
KEYWORDS = {"shell": True, "allow_pickle": True, "weights_only": False}


def faults(text: str) -> list[str]:
    """What in the source could run what somebody sent: names of modules, calls and keywords, in order."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in UNPICKLERS]
        elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in UNPICKLERS:
            found.append(node.module)
        elif isinstance(node, ast.Attribute):
            found += {ast.unparse(node)} & LOADERS
        elif isinstance(node, ast.Call):
            name, words = ast.unparse(node.func), {word.arg for word in node.keywords}
            found += [name] if name in CALLS or (name == "yaml.load" and "Loader" not in words) else []
            values = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
            found += [word for word, value in KEYWORDS.items() if values.get(word, not value) is value]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PROJECT / "src" / "fishbone").as_posix())
def test_nothing_is_unpickled_evaluated_or_given_to_a_shell(path):
    # It resolves every name to a stand-in: tests/data/test_source_cifar10.py.
    known = ["pickle"] if path.name == "plain_pickle.py" else []
    assert faults(path.read_text(encoding="utf-8")) == known


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import pickle", ["pickle"]),
        ("def f():\n    from pickle import loads", ["pickle"]),
        ("torch.load(path)", ["torch.load"]),
        ("numpy.load(path, allow_pickle=True)", ["allow_pickle"]),
        ("subprocess.run(text, shell=True)", ["shell"]),
        ("yaml.load(text)", ["yaml.load"]),
        ("yaml.load(text, Loader=yaml.UnsafeLoader)", ["yaml.UnsafeLoader"]),
        ("yaml.load(text, Loader=yaml.SafeLoader)", []),
        ("model.eval()", []),
    ],
)
def test_what_is_looked_for_would_be_found(text, found):
    assert faults(text) == found


PAGE = (PROJECT / "SECURITY.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED)))
def test_a_test_that_a_promise_names_is_there(file, name):
    assert f"def {name}(" in (PROJECT / file).read_text() if name else (PROJECT / file).is_file()


def test_every_promise_names_a_test():
    promised = PAGE.split("## What is not promised")[0].split("## What is promised")[1]
    promises = promised.split("\n- ")[1:]
    assert len(promises) > 8
    assert [promise for promise in promises if "`tests/" not in promise] == []
