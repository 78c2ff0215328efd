"""What a person can import: complete, documented, sorted, and nothing heavy before it is used."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import fishbone
from fishbone import errors

PACKAGE = Path(fishbone.__file__).parent
ROOMS = sorted(stub.parent.name for stub in PACKAGE.glob("*/__init__.pyi"))
PLACES = ["fishbone", "fishbone.errors", *(f"fishbone.{room}" for room in ROOMS)]
NAMES = [(place, name) for place in PLACES for name in importlib.import_module(place).__all__]
PROMISED = {"Dataset", "Surgeon", "bench", "errors", "export", "federated", "gan", "load_model", "split", "wire"}


def subclasses(error: type) -> set[type]:
    return {error}.union(*map(subclasses, error.__subclasses__()))


def modules() -> list[str]:
    paths = (path.relative_to(PACKAGE.parent).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return [".".join(path.parts).removesuffix(".__init__") for path in paths if path.stem != "__main__"]


@pytest.mark.parametrize(("place", "name"), NAMES)
def test_every_public_name_resolves_and_begins_its_documentation_with_a_sentence(place, name):
    value = getattr(importlib.import_module(place), name)
    if isinstance(value, str):
        return  # the version
    paragraph = inspect.cleandoc(value.__doc__ or "").split("\n\n")[0]
    assert re.match(r"(?!Attributes:|Args:)\S.*[.:]$", paragraph, re.DOTALL), f"{place}.{name}: {paragraph!r}"


@pytest.mark.parametrize("place", PLACES)
def test_public_names_are_sorted_and_are_what_dir_shows(place):
    module = importlib.import_module(place)
    assert module.__all__ == sorted(module.__all__)
    assert set(module.__all__) <= set(dir(module))


@pytest.mark.parametrize("place", [place for place in PLACES if place != "fishbone.errors"])
def test_a_stub_is_written_so_that_editors_take_each_name_as_public_and_from_where_it_is_defined(place):
    module = importlib.import_module(place)
    stub = ast.parse(Path(module.__file__).with_suffix(".pyi").read_text())
    found = {}
    for node in stub.body:
        assert isinstance(node, ast.ImportFrom)
        assert node.level == 1
        for alias in node.names:
            assert alias.asname == alias.name  # without "as" a stub's import is private
            found[alias.name] = f"{place}.{node.module}" if node.module else place
    assert sorted(found) == module.__all__
    for name, source in found.items():
        value = getattr(module, name)
        if not isinstance(value, types.ModuleType | str):
            assert value.__module__ == source


@pytest.mark.parametrize("place", [place for place in PLACES if place != "fishbone.errors"])
def test_no_public_name_hides_a_module(place):
    module = importlib.import_module(place)
    folder = Path(module.__file__).parent
    values = {name for name in module.__all__ if not isinstance(getattr(module, name), types.ModuleType)}
    assert not values & {path.stem for path in folder.iterdir()}


def test_the_promised_names_are_there():
    assert set(fishbone.__all__) >= PROMISED
    assert fishbone.__version__.count(".") == 2


def test_import_loads_nothing_heavy_and_every_room_is_as_light():
    rooms = "".join(f"; fishbone.{room}.__all__" for room in ROOMS)
    code = f"import sys, fishbone{rooms}; print(*({{'torch', 'numpy', 'onnx', 'click', 'yaml'}} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="fishbone"):
        _ = fishbone.surgeon
    with pytest.raises(ImportError, match="no_such_name"):
        from fishbone.wire import no_such_name  # noqa: F401


def test_every_error_of_the_package_is_in_the_tree_and_on_its_page():
    defined = set()
    for name in modules():
        values = vars(importlib.import_module(name)).values()
        defined |= {
            value for value in values
            if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == name
        }  # fmt: skip
    public = {error for error in defined if not error.__name__.startswith("_")}
    assert public == subclasses(errors.FishboneError)
    assert {error.__name__ for error in public} == set(re.findall(r"[├└]── (\w+)", errors.__doc__)) | {"FishboneError"}


def test_the_page_of_errors_is_true_about_their_second_bases_and_their_rooms():
    for line in errors.__doc__.splitlines():
        if found := re.search(r"[├└]── (\w+)", line):
            room = re.search(r"\(`fishbone\.(\w+)`\)", line)
            error = getattr(importlib.import_module(f"fishbone.{room[1]}" if room else "fishbone.errors"), found[1])
            second = re.search(r"also a (\w+)", line)
            assert {base.__name__ for base in error.__mro__} & {"ValueError", "RuntimeError"} == {
                *([second[1]] if second else [])
            }


# They are copied to devices, validate for pydantic, read what `Malformed` then tells, or inject faults for tests.
BUILT_IN = {"bench/agent.py", "bench/devices/kinds.py", "fields.py", "wire/codec.py", "wire/testing/faulty.py"}


def bare(node: ast.AST) -> bool:
    if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)):
        return False
    return node.exc.func.id in ("Exception", "ValueError", "RuntimeError", "KeyError")


def test_no_library_raises_a_bare_built_in_error():
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).as_posix() not in BUILT_IN
        and path.relative_to(PACKAGE).parts[0] not in ("stages", "provenance")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if bare(node)
    ]
    assert not found
