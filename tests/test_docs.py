"""What the pages name is there, and the site is built of them without a warning or anything from elsewhere."""

import importlib
import pkgutil
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[1]
PAGES = [PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES += sorted((PROJECT / "docs").rglob("*.md"))
# What commands make, and files of a reader's own.
THEIRS = {
    "cifar10/", "fashion-mnist/", "mnist/",
    "cost.json", "measure.html", "metrics.json", "mine.npz", "model.safetensors", "net.py", "net.safetensors",
    "networks.safetensors", "tablet.json",
}  # fmt: skip
MADE = ("results", "checkpoints", "logs", "recorded", ".venv", ".mutants", "site", "mlruns", "/", "~", "...")
ENDINGS = "cff|css|html|json|lock|md|npz|onnx|py|pyi|safetensors|smk|svg|toml|yaml|yml"
PLACES = ("", "src/fishbone", "docs", "tests")


def paths(text: str) -> list[str]:
    """Files and folders of the repository that a page names in backticks or links to, with ``{a,b}`` spread."""
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    named = [span.split("::")[0] for span in spans if re.fullmatch(r"[\w./{},*-]+(::\w+)?", span)]
    named = [name for name in named if "/" in name.strip("/") or name.endswith("/") or is_file(name)]
    linked = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    return [path for name in (*named, *linked) for path in spread(name)]


def is_file(name: str) -> bool:
    return re.fullmatch(rf"[\w.-]+\.({ENDINGS})", name) is not None


def spread(name: str) -> list[str]:
    """``a/{b,c}`` → a/b, a/c."""
    pieces = [piece.split(",") for piece in re.split(r"[{}]", name)]
    fixed = [[",".join(piece)] if i % 2 == 0 else piece for i, piece in enumerate(pieces)]
    return ["".join(chosen) for chosen in product(*fixed)]


def is_there(path: str, page: Path) -> bool:
    if re.search("NAME|CLASS", path) or path in THEIRS or path.startswith(MADE):
        return True
    folders = [PROJECT / place for place in PLACES] + [page.parent]
    if is_file(path):  # a name alone may lie anywhere
        folders += [folder for folder in (PROJECT / "src").rglob("*") if folder.is_dir()]
    return any(any(folder.glob(path.rstrip("/"))) for folder in folders)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_a_page_names_only_files_that_exist(page):
    assert [path for path in paths(page.read_text()) if not is_there(path, page)] == []


def test_a_file_that_is_not_there_would_be_found():
    assert paths("`src/fishbone/{nn,edge}/`, [x](docs/a.md), `--flag/x y`, `fishbone`") == [
        "src/fishbone/nn/", "src/fishbone/edge/", "docs/a.md",
    ]  # fmt: skip
    assert is_there("src/fishbone/nn/", PAGES[0])
    assert not is_there("src/fishbone/edge/", PAGES[0])
    assert not is_there("docs/a.md", PAGES[0])


def dotted(text: str) -> list[str]:
    """Names in backticks that begin with a room or a module of the package: ``nn.loop.resume``."""
    inside = {path.stem for path in (PROJECT / "src" / "fishbone").iterdir()} - {"fishbone"}
    spans = re.findall(
        r"`(?:fishbone\.)?([a-z]\w*(?:\.\w+)+)[^`\n/]*`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    )
    return [span for span in spans if span.split(".")[0] in inside and not is_file(span)]


def is_known(name: str) -> bool:
    try:
        pkgutil.resolve_name(f"fishbone.{name}")
    except (AttributeError, ImportError):
        return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_a_page_names_only_modules_classes_and_functions_that_exist(page):
    assert [name for name in dotted(page.read_text()) if not is_known(name)] == []


def test_a_name_that_is_not_there_would_be_found():
    text = "`nn.loop.resume`, `fishbone.wire.Memory`, `nn.loop.rezoom(x)`, `report.html`, `np.mean`"
    assert dotted(text) == ["nn.loop.resume", "wire.Memory", "nn.loop.rezoom"]
    assert [is_known(name) for name in dotted(text)] == [True, True, False]


def test_make_targets_that_a_page_names_exist():
    targets = set(re.findall(r"^([\w-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        for line in re.findall(r"`make ([^`\n]+)`|^make ([^#\n]+)", page.read_text(), re.MULTILINE):
            words = [word for word in "".join(line).split() if "=" not in word]
            assert set(words) <= targets, (page.name, words)


def test_every_public_package_has_its_page_of_the_reference():
    config = yaml.safe_load((PROJECT / "mkdocs.yml").read_text())
    [reference] = [section["Reference"] for section in config["nav"] if "Reference" in section]
    for entry in reference:
        [(title, page)] = entry.items()
        assert f"::: {title}\n" in (PROJECT / "docs" / page).read_text()
    listed = [title for entry in reference for title in entry]
    assert listed == sorted(listed)
    folders = {f"fishbone.{path.parent.name}" for path in (PROJECT / "src" / "fishbone").glob("*/__init__.py")}
    inner = {"fishbone.provenance", "fishbone.report", "fishbone.stages"}
    assert set(listed) & folders == folders - inner


@pytest.mark.parametrize("page", sorted((PROJECT / "docs" / "api").glob("*.md")), ids=lambda page: page.stem)
def test_a_page_of_the_reference_begins_with_links_to_all_public_names(page):
    module = importlib.import_module(f"fishbone.{page.stem}")
    if hasattr(module, "__path__"):  # a module has no other names on its page
        values = {name: getattr(module, name) for name in module.__all__}
        wanted = {name: f"{getattr(value, '__module__', module.__name__)}.{name}" for name, value in values.items()}
        assert dict(re.findall(r"\[(\w+)\]\[([\w.]+)\]", page.read_text())) == wanted


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_asks_nobody_for_anything(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    asked = re.compile(
        r"<(?:script|img|iframe|source)[^>]+src=\"(?:https?:)?//|<link[^>]+href=\"(?:https?:)?//|url\(\"?https?:"
    )
    pages = [*tmp_path.rglob("*.html"), *tmp_path.rglob("*.css")]
    assert len(pages) > 15
    assert [page.name for page in pages if asked.search(page.read_text(errors="replace"))] == []
