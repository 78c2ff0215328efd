"""Nothing outlives a run that is ended from outside, and nobody runs a study twice at once."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fishbone.errors import InputError
from fishbone.files import write_text
from fishbone.provenance import running
from fishbone.provenance.clean import clean

PROJECT = Path(__file__).resolve().parents[2]

STUBBORN = (
    "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; print(1, flush=True); time.sleep(60)"
)
RUNNER = """
import os, sys
from fishbone.provenance import running
running.STEPS = ((2, 0.5), (15, 0.5), (9, 5.0))
sys.exit(running.run([sys.executable, "-c", sys.argv[1]], dict(os.environ), None))
"""


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("twice", [False, True])
def test_a_child_that_hears_no_signal_ends_with_its_parent_also_where_that_is_told_twice(twice):
    child = f"import os, sys; print(os.getpid(), flush=True); exec({STUBBORN!r})"
    parent = subprocess.Popen([sys.executable, "-c", RUNNER, child], stdout=subprocess.PIPE, text=True)
    group = int(parent.stdout.readline())
    assert parent.stdout.readline() == "1\n"
    parent.send_signal(signal.SIGTERM)
    if twice:
        time.sleep(0.2)
        parent.send_signal(signal.SIGTERM)
    assert parent.wait(20) == 128 + signal.SIGTERM
    assert not alive(group)


def test_what_an_ended_command_leaves_running_is_ended():
    orphan = f"import subprocess, sys, os; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]); print(os.getpid())"
    done = subprocess.run([sys.executable, "-c", RUNNER, orphan], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert not alive(int(done.stdout.splitlines()[0]))


def test_an_ignored_hangup_stays_ignored():
    parent = subprocess.Popen(
        [sys.executable, "-c", RUNNER, "import time; print(1, flush=True); time.sleep(1)"],
        stdout=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    parent.stdout.readline()
    parent.send_signal(signal.SIGHUP)
    assert parent.wait(20) == 0


def test_a_held_study_is_refused_to_others_and_not_to_ones_own_children(tmp_path, monkeypatch):
    monkeypatch.delenv(running.HELD, raising=False)
    code = f"""
from pathlib import Path
from fishbone.provenance import running
running.acquire("s", Path({str(tmp_path)!r}))
"""
    lock = running.acquire("s", tmp_path)
    assert lock is not None
    assert running.acquire("s", tmp_path) is None
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    monkeypatch.delenv(running.HELD)
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"process {os.getpid()} on " in other.stderr
    assert InputError.__name__ in other.stderr
    lock.release()


def test_report_is_stamped_anew_where_it_does_not_hold_the_recorded_page(tmp_path, monkeypatch):
    from fishbone.provenance import stamp
    from fishbone.report.page import RUN

    monkeypatch.setattr(stamp, "facts", lambda *_: {"commit": "abc"})
    report = tmp_path / "results/s/report"
    report.mkdir(parents=True)
    for page in ("one", "two"):
        (report / "page.html").write_text(f"<p>{page}</p>{RUN}<p>end</p>")
        os.utime(report / "page.html", (1, 1))  # as a restored page may be older than what is shown
        shown = stamp.stamp("s", {}, False, tmp_path)
        assert shown == Path(report / "report.html")
        assert f"<p>{page}</p>" in shown.read_text()
        assert "abc" in shown.read_text()
    shown.write_text(shown.read_text().replace("abc", "edited"))
    assert "edited" not in stamp.stamp("s", {}, False, tmp_path).read_text()
    monkeypatch.setattr(stamp, "facts", lambda *_: {"commit": "def"})
    assert "abc" in stamp.stamp("s", {}, False, tmp_path).read_text()
    assert "def" in stamp.stamp("s", {}, True, tmp_path).read_text()


def test_cleaning_removes_one_study_and_nothing_outside(tmp_path):
    for path in (
        "results/a/x",
        "results/b/x",
        "logs/a/x",
        ".snakemake/fishbone/a.json",
        ".snakemake/fishbone/a.b.json",
    ):
        write_text(tmp_path / path, "")
    clean("a", tmp_path)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"results/b/x", ".snakemake/fishbone/a.b.json"}
    for name in ("../junk", "/", "", "x;touch X"):
        with pytest.raises(InputError, match="cannot name a study"):
            clean(name, tmp_path)
    assert (tmp_path / "results/b/x").is_file()


def test_make_hands_names_over_in_the_environment_and_never_as_a_part_of_the_command():
    makefile = (PROJECT / "Makefile").read_text()
    assert "export STUDY PROFILE" in makefile
    assert not re.search(r"^\t.*\$[({](STUDY|PROFILE)", makefile, re.MULTILINE)
