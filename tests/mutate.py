"""Are the tests tested? Small faults in a library's code, one at a time, and its own tests over each.

    python tests/mutate.py ROOM [ROOM/MODULE ...]       (`make mutate ROOM=split`, `make mutate ROOM=split/planner`)

mutmut makes the faults and finds which tests run each function; a fault is judged by those alone, up to the first that
fails. All happens on a copy, in `.mutants/`: nothing here changes. Prints each fault that no test noticed, and ends
with 1 if fewer than 90 % of a room's were noticed. Not counted, as they change no result: the words of an error, and
`strict=` of a `zip`. A fault in what runs only when a test module is imported (a policy at its top) is never noticed: a
test has to call it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
ENOUGH = 0.9
WORDS = [r"^\s*(field|value|remedy|hint)=", r"^\s*raise ", r'^\s*f?"[^"]* [^"]*",?$']
SURVIVED, UNTESTED = 0, 33  # mutmut's words for a fault that all tests, and that no test, ran


def main(targets: list[str]) -> int:
    shares = [judge(target) for target in targets]
    return int(min(shares) < ENOUGH)


def judge(target: str) -> float:
    """Share of noticed faults of ``target``, "split" or "split/planner", after printing the others."""
    folder = prepare(target)
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "mutmut", "run"], cwd=folder, env=os.environ | threads)
    if done.returncode:
        raise SystemExit(f"mutmut could not judge {target}: see above")
    outcomes = read(folder)
    if None in outcomes.values():
        raise SystemExit(f"{target}: not all faults were judged")
    unnoticed = [name for name, code in outcomes.items() if code in (SURVIVED, UNTESTED)]
    counted = {name: diff for name in unnoticed if (diff := difference(folder, name))}
    total = len(outcomes) - len(unnoticed) + len(counted)
    for name, diff in counted.items():
        print(f"\n{'no test runs' if outcomes[name] == UNTESTED else 'not noticed'}: {name}\n{diff}")
    share = 1 - len(counted) / total if total else 1.0
    print(f"\n{target}: {total - len(counted)} of {total} faults noticed, {share:.1%}")
    return share


def prepare(target: str) -> Path:
    """A copy of sources and tests with mutmut's settings for ``target``."""
    room = target.split("/")[0]
    package = PROJECT / "src" / "fishbone"
    tests = PROJECT / "tests" / room
    files = sorted((package / room).rglob("*.py")) if room == target else [package / f"{target}.py"]
    if not tests.is_dir() or not all(file.is_file() for file in files) or not files:
        raise SystemExit(f"no library with tests is named {target}: give a folder of src/fishbone, or folder/module")
    folder = PROJECT / ".mutants" / target.replace("/", "-")
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("src", "tests"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (folder / "setup.cfg").write_text(settings([file.relative_to(PROJECT) for file in files], f"tests/{room}"))
    return folder


def settings(files: list[Path], tests: str) -> str:
    listed = {
        "source_paths": ["src"],
        "also_copy": ["src"],
        "only_mutate": [path.as_posix() for path in files],
        "do_not_mutate_patterns": WORDS,
        "pytest_add_cli_args_test_selection": [tests],
    }
    plain = {"timeout_constant": 10.0, "track_dependencies": False, "use_git_change_detection": False}
    lines = ["[mutmut]"]
    lines += [f"{key} =" + "".join(f"\n    {value}" for value in values) for key, values in listed.items()]
    lines += [f"{key} = {value}" for key, value in plain.items()]
    lines += ["[tool:pytest]", "addopts = -q -p no:cacheprovider -p no:xdist -m 'not slow'", "markers =", "    slow:"]
    return "\n".join(lines) + "\n"


def read(folder: Path) -> dict[str, int | None]:
    """mutmut's outcome of each fault, by name; None for one that it did not come to."""
    metas = sorted((folder / "mutants").rglob("*.meta"))
    return {name: code for meta in metas for name, code in json.loads(meta.read_text())["exit_code_by_key"].items()}


def difference(folder: Path, name: str) -> str:
    """The lines that the fault changed; empty if it changed nothing that counts."""
    command = [sys.executable, "-m", "mutmut", "show", name]
    shown = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    lines = [line for line in shown.splitlines() if re.match(r"[-+](?![-+]{2} )", line)]
    old, new = ([line[1:] for line in lines if line[0] == sign] for sign in "-+")
    return "" if strictless(old) == strictless(new) else "\n".join(lines)


def strictless(lines: list[str]) -> list[str]:
    return [re.sub(r",\s*(strict=\w+)?\)", ")", line) if "zip(" in line else line for line in lines]


if __name__ == "__main__":
    if not sys.argv[1:]:
        raise SystemExit(__doc__)
    raise SystemExit(main(sys.argv[1:]))
