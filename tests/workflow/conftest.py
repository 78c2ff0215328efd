from pathlib import Path

import pytest
from workspace import Workspace, copy_project


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Workspace:
    """A project whose ``smoke`` study (every stage, tiny) has run, is recorded, pushed and committed."""
    workspace = copy_project(tmp_path_factory.mktemp("project"))
    overlay = Path(__file__).with_name("smoke.yaml").read_text()
    for other in (workspace.root / "studies").glob("*.yaml"):
        other.unlink()  # DVC and Snakemake would read them all again in every test
    (workspace.root / "studies" / "smoke.yaml").write_text(overlay)
    workspace.fishbone("generate")
    (workspace.root / "dvc.lock").unlink(missing_ok=True)
    workspace.fishbone("reproduce", "--study", "smoke", "--cores", "2")
    workspace.dvc("remote", "add", "--default", "store", str(tmp_path_factory.mktemp("store")))
    workspace.dvc("push", "--quiet", *workspace.stages())
    workspace.run("git", "add", "--all")
    workspace.run("git", "commit", "--quiet", "--message", "smoke")
    return workspace
