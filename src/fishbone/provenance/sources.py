"""The source files that a stage's result depends on, and one digest of them.

That is the closure of the stage's imports inside this package. Imports inside functions count, modules that are loaded
by name (`importlib.import_module`) do not; templates, scripts and C files count for the folder they lie in. The digest
leaves out comments, docstrings and blank lines, and is the same on Python 3.11 to 3.14, so that only an edit that can
change a result reruns anything.
"""

import ast
import hashlib
import io
import symtable
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
_DATA = {".html", ".css", ".js", ".c"}  # what the package ships, and not what an editor leaves beside it
_SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER}
_LAYOUT = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


def sources(stage: str) -> list[str]:
    """Sorted paths, relative to the project root, of what the stage's job can import, and of its command itself.

    What the command imports when it is called beside the job (a page for people, another entrance) is not followed.
    """
    found: set[Path] = set()
    package = f"fishbone.stages.{stage}"
    entries = [f"{package}.{part}" for part in ("params", "command", "job")]
    waiting = [file for entry in (package, *entries) for file in _files_of(entry)]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _imports(file, _version(file), late=file.stem != "command")
    found |= {data for file in found for data in _data_beside(file)}
    root = PACKAGE.parents[1]
    return sorted(file.relative_to(root).as_posix() for file in found)


def digests(stage: str) -> dict[str, str]:
    """``{path: digest}`` of `sources`."""
    return {path: file_digest(PACKAGE.parents[1] / path) for path in sources(stage)}


def digest(stage: str) -> str:
    """16 hexadecimal digits for all `sources` of a stage, their names and what they do."""
    listed = "".join(f"{path} {value}\n" for path, value in digests(stage).items())
    return hashlib.sha256(listed.encode()).hexdigest()[:16]


def file_digest(file: Path) -> str:
    """16 hexadecimal digits for a file's content; of Python, without comments and docstrings."""
    return _file_digest(file, _version(file))


def _version(file: Path) -> tuple[int, int]:
    """Changes with the file: a run may last for hours, and its caches with it."""
    found = file.stat()
    return found.st_mtime_ns, found.st_size


@cache
def _file_digest(file: Path, _version: tuple[int, int]) -> str:
    content = file.read_bytes()
    if file.suffix == ".py":
        content = "\n".join(code(content.decode())).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def code(text: str) -> Iterator[str]:
    """The tokens of Python source that a result can depend on, one string each.

    A formatted string is one token, as Python 3.11 has it: later versions take it apart.
    """
    docstrings = _docstrings(ast.parse(text))
    lines = text.splitlines(keepends=True)
    begun: list[tuple[int, int]] = []  # where the formatted strings that are open began
    skipping = False  # a docstring and the end of its statement
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        if kind in ("FSTRING_START", "TSTRING_START"):
            begun.append(token.start)
        elif kind in ("FSTRING_END", "TSTRING_END"):
            start = begun.pop()
            if not begun:
                yield _between(lines, start, token.end)
        elif begun or token.type in _SILENT:
            continue
        elif skipping or token.start in docstrings:
            skipping = token.type != tokenize.NEWLINE and token.string != ";"
        else:
            yield kind if token.type in _LAYOUT else token.string


def _docstrings(tree: ast.Module) -> set[tuple[int, int]]:
    """(line, column in characters) where each docstring begins; all but ASCII indents are out of the question."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = (tree, *_statements(tree.body))
    firsts = [node.body[0] for node in nodes if isinstance(node, owners) and node.body]
    return {
        (first.lineno, first.col_offset)
        for first in firsts
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    }


def _statements(block: list[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements of a block, at any depth; `ast.walk` would look at each expression, too."""
    for statement in block:
        yield statement
        for part in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(statement, part, []))
        for branch in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
            yield from _statements(branch.body)


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    (first, left), (last, right) = start, end
    if first == last:
        return lines[first - 1][left:right]
    return "".join([lines[first - 1][left:], *lines[first : last - 1], lines[last - 1][:right]])


@cache
def _imports(file: Path, _version: tuple[int, int], late: bool = True) -> tuple[Path, ...]:
    """Files of this package that ``file`` names in an import, with the packages' ``__init__`` on the way.

    Args:
        file: Python source of this package.
        _version: of the file, so that the cache forgets a source that has changed.
        late: imports inside functions, too.

    Raises:
        ValueError: an import is written such that the file it leads to cannot be told.
    """
    names: set[str] = set()
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    for node in _statements(tree.body) if late else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{file}:{node.lineno}: write the import absolutely, so that its file can be found")
            module = node.module or ""
            for alias in node.names:
                if not _found(module, alias.name):
                    problem = f"{module} does not define {alias.name}: import it from the module that does"
                    raise ValueError(f"{file}:{node.lineno}: {problem}, so that its file can be found")
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return tuple(path for name in names for path in _files_of(name))


def _found(module: str, name: str) -> bool:
    """Whether ``from module import name`` needs no file that `_files_of` does not see; lazy names of a package do."""
    files = _files_of(module)
    if not files or files[-1].name != "__init__.py" or _files_of(f"{module}.{name}") != files:
        return True
    return name in _defined(files[-1], _version(files[-1]))


@cache
def _defined(file: Path, _version: tuple[int, int]) -> set[str]:
    """Names that a module gives a value to, or imports."""
    symbols = symtable.symtable(file.read_text(encoding="utf-8"), str(file), "exec").get_symbols()
    return {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}


def _files_of(module: str) -> list[Path]:
    parts = module.split(".")
    if parts[0] != PACKAGE.name:
        return []
    folders = [PACKAGE.joinpath(*parts[1:n], "__init__.py") for n in range(1, len(parts) + 1)]
    return [path for path in (*folders, PACKAGE.joinpath(*parts[1:]).with_suffix(".py")) if path.is_file()]


def _data_beside(file: Path) -> list[Path]:
    return [p for p in file.parent.iterdir() if p.is_file() and p.suffix in _DATA and p.name[0] != "."]
