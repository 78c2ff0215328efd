"""This machine with less of it: chosen CPUs, a memory limit, a share of CPU time.

Tried in order: control groups version 2, version 1, then ``taskset`` and ``prlimit``. The last has no CPU share and
limits address space, not memory; what took effect is part of the result. A CPU share is not a slow CPU: work runs at
full speed and stalls, so the median hardly moves while the 90th percentile grows; prefer fewer CPUs and less memory.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fishbone.bench.devices.local import run_local
from fishbone.bench.devices.outcome import Outcome
from fishbone.bench.results import Limits
from fishbone.errors import InputError

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
MEGABYTE = 10**6
Means = tuple[list[str], Limits, Callable[[], bool]]  # words before the command, what took effect, was it killed
# Joins the groups named by the first words, then becomes what follows "--".
JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 125; shift; done; shift; exec "$@"'


def run_constrained(task_file: Path, budget_seconds: float, asked: Limits) -> Outcome:
    """Run the agent under limits.

    Raises:
        InputError: this machine cannot enforce them; names what is missing.
    """
    for backend in (_version_2, _version_1, _commands):
        with backend(asked) as found:
            if found is None:
                continue
            before, effective, killed = found
            outcome = run_local(task_file, budget_seconds, before)
            if outcome.status == "crashed" and killed():
                outcome = Outcome("oom", "the agent was killed for its memory")
            return replace(outcome, limits=effective)
    raise _unable()


def limiting_backend(asked: Limits) -> str:
    """What would enforce these limits here.

    Raises:
        InputError: as `run_constrained`.
    """
    for backend in (_version_2, _version_1, _commands):
        with backend(asked) as found:
            if found is not None:
                return str(found[1].backend)
    raise _unable()


def _unable() -> InputError:
    remedy = "Run as root, in a delegated control group, or install util-linux (taskset, prlimit)."
    return InputError("cannot limit processes here", field="kind", value="constrained", remedy=remedy)


@contextmanager
def _version_2(asked: Limits) -> Iterator[Means | None]:
    controllers = _read(ROOT / "cgroup.controllers").split()
    needed = {name for name, value in (("cpuset", asked.cpus), ("memory", asked.memory_mb)) if value}
    needed |= {"cpu"} if asked.cpu_share else set()
    if not controllers or not needed <= set(controllers):
        yield None
        return
    values: dict[str, object] = {
        "memory.max": asked.memory_mb and asked.memory_mb * MEGABYTE,
        "memory.swap.max": asked.memory_mb and 0,
    }
    values |= {"cpuset.cpus": asked.cpus and _listed(asked.cpus)}
    values |= {"cpu.max": asked.cpu_share and f"{round(asked.cpu_share * PERIOD_US)} {PERIOD_US}"}
    enable = [(ROOT / "cgroup.subtree_control", f"+{name}") for name in sorted(needed)]
    with _group(ROOT / f"fishbone-{os.getpid()}", values, enable) as made:
        yield _enforced([made], _by(asked, "cgroup v2"), made / "memory.events") if made else None


@contextmanager
def _version_1(asked: Limits) -> Iterator[Means | None]:
    name = f"fishbone-{os.getpid()}"
    memory = asked.memory_mb and asked.memory_mb * MEGABYTE
    wanted: dict[str, dict[str, object]] = {
        "memory": {"memory.limit_in_bytes": memory, "memory.memsw.limit_in_bytes": memory} if memory else {},
        "cpuset": {"cpuset.cpus": _listed(asked.cpus), "cpuset.mems": _read(ROOT / "cpuset/cpuset.mems").strip()}
        if asked.cpus
        else {},
        "cpu": {"cpu.cfs_period_us": PERIOD_US, "cpu.cfs_quota_us": round(asked.cpu_share * PERIOD_US)}
        if asked.cpu_share
        else {},
    }
    with (
        _group(ROOT / "memory" / name, wanted["memory"]) as one,
        _group(ROOT / "cpuset" / name, wanted["cpuset"]) as two,
        _group(ROOT / "cpu" / name, wanted["cpu"]) as three,
    ):
        made = [group for group in (one, two, three) if group is not None]
        if not made or len(made) < sum(map(bool, wanted.values())):
            yield None
            return
        counter = ROOT / "memory" / name / "memory.oom_control"
        yield _enforced(made, _by(asked, "cgroup v1"), counter)


@contextmanager
def _commands(asked: Limits) -> Iterator[Means | None]:
    if not (shutil.which("taskset") and shutil.which("prlimit")):
        yield None
        return
    before = ["taskset", "--cpu-list", _listed(asked.cpus)] if asked.cpus else []
    before += ["prlimit", f"--as={asked.memory_mb * MEGABYTE}"] if asked.memory_mb else []
    effective = _by(asked, "taskset and prlimit (address space)").model_copy(update={"cpu_share": None})
    yield before, effective, lambda: False


def _enforced(groups: list[Path], effective: Limits, counter: Path) -> Means:
    return _join(groups), effective, lambda: _kills(counter)


def _by(asked: Limits, backend: str) -> Limits:
    return asked.model_copy(update={"backend": backend})


@contextmanager
def _group(
    folder: Path, values: Mapping[str, object], enable: Sequence[tuple[Path, str]] = ()
) -> Iterator[Path | None]:
    """A control group with these files written (None: not that one); None without files, or where refused."""
    if not values:
        yield None
        return
    try:
        for file, word in enable:
            file.write_text(word)
        folder.mkdir()
    except OSError:
        yield None
        return
    try:
        try:
            for name, value in values.items():
                # Swap accounting may be switched off.
                if value is not None and ("sw" not in name or (folder / name).exists()):
                    (folder / name).write_text(str(value))
        except OSError:
            yield None
            return
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    for _ in range(50):  # the kernel takes a moment to bury killed processes
        try:
            return folder.rmdir()
        except OSError:
            time.sleep(0.1)


def _join(groups: list[Path]) -> list[str]:
    return ["sh", "-c", JOIN, "join", *map(str, groups), "--"]


def _listed(cpus: Iterable[int]) -> str:
    return ",".join(map(str, cpus))


def _kills(counter: Path) -> bool:
    words = _read(counter).split()
    return "oom_kill" in words and words[words.index("oom_kill") + 1] != "0"


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""
