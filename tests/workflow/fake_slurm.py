"""Slurm's commands as small scripts: `sbatch` runs the job here and at once, and keeps what it was asked for."""

from pathlib import Path

SCRIPTS = {
    "sbatch": """
for argument; do
  printf '%s\\n' "$argument"
  case $argument in --wrap=*) job=${argument#--wrap=} ;; esac
done > "$FAKE_SLURM/$$.call"
echo RUNNING > "$FAKE_SLURM/$$.state"
(
  sh -c "$job" > "$FAKE_SLURM/$$.log" 2>&1 && state=COMPLETED || state=FAILED
  echo $state > "$FAKE_SLURM/$$.state"
) < /dev/null > /dev/null 2>&1 &
echo $$
""",
    "sacct": """
for file in "$FAKE_SLURM"/*.state; do echo "$(basename "$file" .state)|$(cat "$file")"; done
""",
    "srun": """
while [ "${1#-}" != "$1" ]; do shift; done
exec "$@"
""",
    **dict.fromkeys(("sinfo", "squeue", "scontrol", "scancel", "sacctmgr", "sshare"), ""),
}


def install(folder: Path) -> None:
    """The commands into a folder that is to come first in ``PATH``; ``FAKE_SLURM`` names where calls are kept."""
    for name, text in SCRIPTS.items():
        script = folder / name
        script.write_text("#!/bin/sh" + text)
        script.chmod(0o755)


def submitted(folder: Path) -> dict[str, list[str]]:
    """{rule: arguments of its ``sbatch``, without the job's own command}, of studies with one job a rule."""
    calls = {}
    for file in folder.glob("*.call"):
        arguments = file.read_text().split("--wrap=")[0].splitlines()
        comment = arguments[arguments.index("--comment") + 1]
        calls[comment.removeprefix("rule_").split("_wildcards_")[0]] = arguments
    return calls
