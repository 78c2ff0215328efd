"""Every docstring says what there is to know: a sentence first, and of each argument more than whose it is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import fishbone

PACKAGE = Path(fishbone.__file__).parent
SOURCES = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
BAD = '''
"""No full stop"""
class A:
    """Attributes: those below.

    Attributes:
        x: as it is.
    """
    def f(self, seed, other): 
        """Fine.

        Args:
            seed: of the noise that is drawn.
        """
    def g(self):
        return 1
class B(Protocol):
    def g(self): "Fine."
class _C:
    def h(self): ...
'''


def definitions(tree: ast.Module, name: str) -> Iterator[tuple[str, ast.AST]]:
    """(name, node) of a module and all classes and functions that are not inside a function."""
    yield name, tree
    for node in tree.body:
        if isinstance(node, FUNCTION | ast.ClassDef):
            yield f"{name}:{node.name}", node
        if isinstance(node, ast.ClassDef):
            yield from ((f"{name}:{node.name}.{one.name}", one) for one in node.body if isinstance(one, FUNCTION))


def told_by_protocols(trees: dict[str, ast.Module]) -> set[str]:
    """Names of methods that a protocol documents, once for all that follow it."""
    classes = [node for tree in trees.values() for node in tree.body if isinstance(node, ast.ClassDef)]
    protocols = [node for node in classes if any("Protocol" in ast.unparse(base) for base in node.bases)]
    methods = [one for node in protocols for one in node.body if isinstance(one, FUNCTION)]
    return {one.name for one in methods if ast.get_docstring(one)}


def arguments(docstring: str) -> dict[str, str]:
    """Name → what is said of it, of each entry below ``Args:`` and ``Attributes:``."""
    sections = re.findall(r"^(?:Args|Attributes):\n((?:(?: .*)?\n)*)", docstring + "\n", re.MULTILINE)
    entries = re.findall(r"^    (\w.*?): (.*(?:\n {5,}.*)*)", "\n".join(sections), re.MULTILINE)
    return {name: text for names, text in entries for name in names.split(", ")}


def too_little(text: str) -> bool:
    """Fewer than four words, or than seven where they only say to what else the argument belongs: "of the noise"."""
    return len(text.split()) < (7 if re.match("(of|by|for|as|from) ", text) else 4)


def parameters(node: ast.AST) -> set[str]:
    if isinstance(node, ast.ClassDef):
        made = [one for one in node.body if isinstance(one, FUNCTION) and one.name == "__init__"]
        return parameters(made[0]) if made else set()
    if not isinstance(node, FUNCTION):
        return set()
    return {one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)} - {"self", "cls"}


def faults(sources: dict[str, str]) -> list[str]:
    trees = {name: ast.parse(text) for name, text in sources.items()}
    known, found = told_by_protocols(trees), []
    for name, node in [pair for module, tree in trees.items() for pair in definitions(tree, module)]:
        own, docstring = re.split("[.:]", name)[-1], ast.get_docstring(node)
        if docstring is None:
            if own not in known and not re.search(r"[:.]_", name):
                found.append(f"{name} has none")
            continue
        first = " ".join(docstring.split("\n\n")[0].split())
        if not re.match(r"(?!Attributes:|Args:|Raises:|Returns:).*[.:]$", first):
            found.append(f"{name} does not begin with a sentence")
        told = arguments(docstring)
        found += [f"{name} says too little of {one}" for one, text in told.items() if too_little(text)]
        if "Args:\n" in docstring:
            silent = {one for one in parameters(node) - told.keys() if f"``{one}``" not in docstring}
            found += [f"{name} does not name {one}" for one in sorted(silent)]
    return found


def test_docstrings_begin_with_a_sentence_and_say_what_each_argument_is():
    assert faults(SOURCES) == []


def test_what_is_missing_is_found():
    assert faults({"m.py": BAD}) == [
        "m.py does not begin with a sentence",
        "m.py:A does not begin with a sentence",
        "m.py:A says too little of x",
        "m.py:A.f says too little of seed",
        "m.py:A.f does not name other",
        "m.py:B has none",
    ]
