import shutil
from pathlib import Path

import pytest
from workspace import Workspace, copy_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Workspace:
    """A project whose ``smoke`` study (every stage, tiny) has run, is recorded, pushed and committed."""
    workspace = copy_project(tmp_path_factory.mktemp("project"))
    for other in (workspace.root / "studies").iterdir():
        shutil.rmtree(other)  # DVC and Snakemake would read them all again in every test
    for file in ("dvc.yaml", "dvc.lock", "resolved.yaml"):
        (workspace.root / file).unlink(missing_ok=True)
    (workspace.root / "studies" / "smoke").mkdir()
    shutil.copy(Path(__file__).with_name("smoke.yaml"), workspace.overlay)
    workspace.fishbone("reproduce", "--study", "smoke", "--cores", "2")
    workspace.dvc("remote", "add", "--default", "store", str(tmp_path_factory.mktemp("store")))
    workspace.dvc("push", "--quiet")
    workspace.run("git", "add", "--all")
    workspace.run("git", "commit", "--quiet", "--message", "smoke")
    return workspace
