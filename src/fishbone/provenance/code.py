"""Which state of the code made a result."""

import os
import subprocess
from pathlib import Path

UNKNOWN = {"commit": "unknown", "dirty": "unknown"}
# What a run itself writes into the repository says nothing of the code.
RECORDS = (":(exclude,glob)**/dvc.lock", ":(exclude,top)recorded")


def code_state(root: Path = Path()) -> dict[str, str]:
    """``{"commit", "dirty"}``: hex digits, and ``true`` or ``false``: whether a tracked file differs from the commit.

    Both are ``unknown`` in an archive without git, and where the project only lies inside somebody else's repository.
    """

    def git(*arguments: str) -> str:
        # Without optional locks, `git status` writes nothing.
        environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
        done = subprocess.run(
            ["git", *arguments], cwd=root, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "Snakefile")
        commit = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", *RECORDS)
    except (OSError, subprocess.CalledProcessError):
        return dict(UNKNOWN)
    return {"commit": commit, "dirty": "true" if changed else "false"}
