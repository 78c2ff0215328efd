"""A copy of the project in which workflow tests may run, edit and clone."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fishbone.provenance.lock import recorded

PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Workspace:
    """A checkout; commands run in it see its own sources."""

    root: Path

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {
            **os.environ, "PATH": path, "PYTHONPATH": str(self.root / "src"), "DVC_NO_ANALYTICS": "1",
            "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t",
            "MPLBACKEND": "agg",
        }  # fmt: skip
        environment.pop("FISHBONE_DATA", None)
        environment.pop("MLFLOW_TRACKING_URI", None)
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)
        assert not check or done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done

    def fishbone(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        return self.run(sys.executable, "-m", "fishbone", *arguments, check=check)

    def dvc(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        return self.run(sys.executable, "-m", "dvc", *arguments, check=check)

    @property
    def overlay(self) -> Path:
        """The parameters of the study ``smoke``."""
        return self.root / "studies" / "smoke" / "params.yaml"

    def result(self, path: str) -> Path:
        """A result of the study ``smoke``, which may be written to."""
        file = self.root / "results" / "smoke" / path
        if file.is_file():
            file.chmod(0o644)
        return file

    def reproduce(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        return self.fishbone("reproduce", "--study", "smoke", "--cores", "2", *arguments, check=check)

    def recorded(self, study: str = "smoke") -> dict:
        """The study's recorded stages."""
        return recorded(study, self.root)

    def pending(self, study: str = "smoke") -> list[str]:
        """First outputs of the jobs that Snakemake would run now, below the study's folder, sorted."""
        code = (
            "import json; from fishbone.provenance.dag import jobs;"
            f"print(json.dumps([job.outputs[0] for job in jobs({study!r}) if job.pending]))"
        )
        outputs = json.loads(self.run(sys.executable, "-c", code).stdout.splitlines()[-1])
        return sorted(output.removeprefix(f"results/{study}/") for output in outputs)

    def pending_stages(self) -> set[str]:
        return {output.split("/")[0] for output in self.pending()}

    @contextmanager
    def edited(self, file: str, old: str, new: str):
        """``old`` (which occurs) replaced by ``new`` in a file, for as long as the block lasts."""
        path = self.root / file
        before = path.read_text()
        assert old in before, f"{file} holds no {old!r}"
        path.write_text(before.replace(old, new, 1))
        try:
            yield
        finally:
            path.write_text(before)


def copy_project(target: Path) -> Workspace:
    """The working tree as it is now (what git tracks or would track), in a repository of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (PROJECT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, target / name)
    workspace = Workspace(target)
    workspace.run("git", "init", "--quiet", "--initial-branch", "main")
    return workspace
