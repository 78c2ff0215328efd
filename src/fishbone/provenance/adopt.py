"""After clone and pull, checkout or merge: tell Snakemake which of the restored results still hold.

File times mean nothing then. DVC compares contents, commands and parameters with ``dvc.lock``; a stage that differs,
and all that follows it, is stale: its outputs are made old (mtime 1, not 0, which Snakemake takes for "no time") and
their records removed. The other outputs are touched in DAG order, which also writes Snakemake's records. Nothing is
deleted, and an interruption does no harm.
"""

import hashlib
import json
import os
import subprocess
from pathlib import Path

import click

from fishbone.provenance import stamp
from fishbone.provenance.dag import environment, tool
from fishbone.provenance.generate import check
from fishbone.provenance.lock import locked, of_study, parsed
from fishbone.provenance.params import QUICK, load_study


def stale_stages(stages: dict[str, dict], changed: set[str]) -> set[str]:
    """Names in ``changed`` and all that depends on them; ``stages`` maps names to deps and outs."""
    stale = set(changed)
    while True:
        dirty = {out for name in stale for out in stages[name]["outs"]}
        grown = stale | {name for name, stage in stages.items() if dirty & set(stage["deps"])}
        if grown == stale:
            return stale
        stale = grown


def changed(entries: list, md5s: dict[str, str], root: Path) -> bool:
    """Whether a stage is not as recorded, by its entries in ``dvc status --json``.

    DVC says "not in cache" of outputs whether they are as recorded or not, so these are compared here.

    Args:
        md5s: of the stage's outputs, from ``dvc.lock``.
    """
    for entry in entries:
        outs = entry.get("changed outs", {}) if isinstance(entry, dict) else {}
        if not outs or len(entry) > 1 or set(outs.values()) != {"not in cache"}:
            return True
        if any(not (root / out).is_file() or _md5(root / out) != md5s.get(out) for out in outs):
            return True
    return False


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def adopt(study: str, root: Path = Path()) -> tuple[list[str], list[str]]:
    """Adopt a study's restored results; returns (stages that hold, stale stages).

    Raises:
        InputError: ``dvc.yaml`` is out of step with the Snakefile.
        subprocess.CalledProcessError: DVC or Snakemake failed.
    """
    check(root)
    stages = of_study(parsed(root / "dvc.yaml")["stages"], study)
    status = subprocess.run(
        tool("dvc", "status", "--json", *stages),
        cwd=root,
        env=environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    md5s = {name: {out["path"]: out["md5"] for out in stage["outs"]} for name, stage in locked(root).items()}
    told = json.loads(status.stdout or "{}")
    differ = {name for name in stages if name in told and changed(told[name], md5s.get(name, {}), root)}
    stale = stale_stages(stages, differ)
    old = [out for name in stale for out in stages[name]["outs"] if (root / out).exists()]
    for out in old:
        os.utime(root / out, (1, 1))
    snakemake = tool("snakemake", "--quiet", "all", "--config", f"study={study}")
    if old:
        # Exit code 1 only says that there was no record to remove.
        subprocess.run([*snakemake, "--cleanup-metadata", *old], cwd=root, env=environment(), capture_output=True)
    clean = [out for name, stage in stages.items() if name not in stale for out in stage["outs"]]
    if clean:
        subprocess.run(
            [*snakemake, "--touch", "--forceall", "--", *clean],
            cwd=root,
            env=environment(),
            check=True,
            capture_output=True,
        )
    stamp.write(study, root)
    return [name for name in stages if name not in stale], [name for name in stages if name in stale]


@click.command(epilog="Example: git pull && dvc pull && fishbone adopt")
@click.option("--study", default=QUICK, show_default=True)
def command(study: str) -> None:
    """Tell Snakemake which restored results still hold."""
    load_study(study)
    clean, stale = adopt(study)
    click.echo(f"hold: {', '.join(clean) or 'none'}; to be run: {', '.join(stale) or 'none'}")
