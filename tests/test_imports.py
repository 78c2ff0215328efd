"""Imports stand on top of their file; where a function imports, this list says for what."""

import ast
from collections.abc import Iterator

from architecture import PACKAGE

# Module → what must stay out until it is asked for: slow to import, in an extra of its own, or on some systems only.
LATE = {
    "bench/agent.py": {"resource"},
    "data/dataset.py": {"torch"},
    "data/decode.py": {"PIL", "tqdm"},
    "data/roots.py": {"pooch", "requests"},
    "data/sources/packaged.py": {"mlxtend", "sklearn"},
    "data/sources/parquet.py": {"pyarrow"},
    "data/sources/svhn.py": {"scipy"},
    "export/quantise.py": {"onnxruntime", "scipy"},
    "files.py": {"safetensors"},
    "provenance/cache.py": {"fishbone.provenance.dvc_calls"},
    "provenance/dag.py": {"snakemake"},
    "provenance/pull.py": {"fishbone.provenance.dvc_calls"},
    "provenance/record.py": {"fishbone.provenance.dvc_calls"},
    "provenance/reproduce.py": {"fishbone.provenance.dvc_calls"},
    "provenance/track.py": {"fishbone.provenance.mlflow_sink"},
    "report/intervals.py": {"scipy"},
    "seeding.py": {"torch"},
}
# A command is there for `--help`, and imports its job when it is called; bench's page is no part of a measurement.
JOBS = {
    f"stages/{stage}/command.py": {f"fishbone.stages.{stage}.job"}
    for stage in ("export", "federate", "gan", "prepare", "report", "train")
}
JOBS["stages/prune/command.py"] = {"fishbone.stages.prune.job", "fishbone.stages.prune.file_job"}
JOBS["stages/bench/command.py"] = {"fishbone.stages.bench.job", "fishbone.files", "fishbone.report.bench_page"}


def late(tree: ast.Module) -> Iterator[str]:
    """What the functions of a file import: modules of the package in full, of others the distribution's name."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in (inner for function in functions for inner in ast.walk(function)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # A module is imported out of a package, anything else out of a module.
            package = PACKAGE.parent.joinpath(*node.module.split(".")).is_dir()
            names = [f"{node.module}.{alias.name}" for alias in node.names] if package else [node.module]
        else:
            continue
        yield from (name if name.startswith("fishbone.") else name.partition(".")[0] for name in names)


def test_a_function_imports_only_what_must_stay_out_until_it_is_asked_for():
    files = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}
    found = {name: names for name, tree in files.items() if (names := set(late(tree)))}
    assert found == LATE | JOBS


def test_every_stage_s_command_imports_its_job_late():
    stages = {path.parent.name for path in PACKAGE.glob("stages/*/command.py")}
    assert {f"stages/{stage}/command.py" for stage in stages} == JOBS.keys()


def test_an_import_in_a_function_in_a_method_and_in_a_block_is_seen():
    text = (
        "import a\ndef f():\n    if a:\n        import b.c\nclass C:\n    async def g(self):\n"
        "        from fishbone.stages import bench\n        from fishbone.files import sha256\n"
    )
    assert set(late(ast.parse(text))) == {"b", "fishbone.stages.bench", "fishbone.files"}
