"""The source files that a stage's result depends on: the closure of its imports inside this package.

Rules list them as inputs, so an edit reruns exactly the stages that can reach the edited file. Imports inside
functions count; files that are no Python modules (templates, single-file agents) count for the folder they lie in.
"""

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def sources(stage: str) -> list[str]:
    """Sorted paths, relative to the project root, of what ``fishbone.stages.<stage>`` can import."""
    found: set[Path] = set()
    waiting = _files_of(f"fishbone.stages.{stage}")
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _imports(file)
    found |= {data for file in found for data in _data_beside(file)}
    root = PACKAGE.parents[1]
    return sorted(file.relative_to(root).as_posix() for file in found)


@cache
def _imports(file: Path) -> tuple[Path, ...]:
    """Files of this package that ``file`` names in an import, with the packages' ``__init__`` on the way."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{file}:{node.lineno}: write the import absolutely, so that its file can be found")
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return tuple(path for name in names for path in _files_of(name))


def _files_of(module: str) -> list[Path]:
    parts = module.split(".")
    if parts[0] != PACKAGE.name:
        return []
    folders = [PACKAGE.joinpath(*parts[1:n], "__init__.py") for n in range(1, len(parts) + 1)]
    return [path for path in (*folders, PACKAGE.joinpath(*parts[1:]).with_suffix(".py")) if path.is_file()]


def _data_beside(file: Path) -> list[Path]:
    return [p for p in file.parent.iterdir() if p.is_file() and p.suffix not in (".py", ".pyc") and p.name[0] != "."]
