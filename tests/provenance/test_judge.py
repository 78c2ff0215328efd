"""Which results hold: the rules of it, on files that no stage made."""

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fishbone.provenance import ledger
from fishbone.provenance.cache import copied
from fishbone.provenance.dag import Job
from fishbone.provenance.judge import judge
from fishbone.provenance.lock import Recorded

A, B = "results/s/prepare/a.npz", "results/s/train/a/metrics.json"


def value(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


@pytest.fixture
def root(tmp_path) -> Path:
    for path, text in ((A, "a"), (B, "b")):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    return tmp_path


@pytest.fixture
def jobs() -> list[Job]:
    first = Job("prepare", (), (A,), {"seed": 0, "sources": {"a": 1}}, "rule", "code", False)
    return [first, Job("train", (A,), (B,), {"rate": 0.1}, "rule", "code", False)]


def seen(jobs: list[Job], root: Path) -> list[Job]:
    """The jobs, when Snakemake has seen them end."""
    return [replace(job, made={out: (root / out).stat().st_mtime for out in job.outputs}) for job in jobs]


@pytest.fixture
def stages() -> dict[str, Recorded]:
    return {
        "prepare": Recorded("rule", "code", {"seed": 0, "sources": {"a": 1, "b": 2}}, {}, {A: value("a")}),
        "train": Recorded("rule", "code", {"rate": 0.1}, {A: value("a")}, {B: value("b")}),
    }


def states(*arguments) -> list[str]:
    verdicts = judge(*arguments)
    return ["good" if v.good else "holds" if v.holds else "stale" for v in verdicts]


def known(root: Path) -> dict:
    return {path: [ledger.signature(root / path), value(text)] for path, text in ((A, "a"), (B, "b"))}


def test_recorded_results_from_elsewhere_hold_by_their_contents_alone(root, jobs, stages):
    assert states(jobs, stages, {}, root, False) == ["holds", "holds"]
    assert states([replace(job, pending=True) for job in jobs], stages, {}, root, False) == ["holds", "holds"]


@pytest.mark.parametrize(
    ("job", "change"),
    [(0, {"sources": "edited"}), (0, {"shell": "edited"}), (0, {"block": {"seed": 1, "sources": {"a": 1}}})],
)
def test_a_job_of_other_code_or_parameters_is_stale_and_what_reads_its_files_holds_as_long_as_they_stay(
    root, jobs, stages, job, change
):
    jobs[job] = replace(jobs[job], **change)
    assert states(jobs, stages, {}, root, False) == ["stale", "holds"]


def test_another_input_makes_stale(root, jobs, stages):
    (root / A).write_text("other")
    jobs[0] = replace(jobs[0], sources="edited")
    assert states(jobs, stages, {}, root, False) == ["stale", "stale"]


def test_a_damaged_or_missing_output_is_wanted_and_leaves_what_follows_it_alone(root, jobs, stages):
    for damage in (lambda: (root / A).write_text("damaged"), lambda: (root / A).unlink()):
        damage()
        first, second = judge(jobs, stages, {}, root, False)
        assert (first.holds, first.wanted) == (True, {A: value("a")})
        assert (second.holds, second.wanted) == (True, {})


def test_a_file_with_the_old_time_of_modification_is_still_found_changed(root, jobs, stages):
    before, jobs = known(root), seen(jobs, root)
    assert states(jobs, stages, before, root, False) == ["good", "good"]
    modified = (root / A).stat().st_mtime_ns
    (root / A).write_text("x")
    os.utime(root / A, ns=(modified, modified))
    assert judge(jobs, stages, before, root, False)[0].changed == [A]


def test_only_verifying_reads_files_that_look_unchanged(root, jobs, stages, monkeypatch):
    before, jobs = known(root), seen(jobs, root)
    monkeypatch.setattr(ledger, "signature", lambda path: before[path.relative_to(root).as_posix()][0])
    (root / B).write_text("edited")
    assert states(jobs, stages, before, root, False) == ["good", "good"]
    assert judge(jobs, stages, before, root, True)[1].changed == [B]


def test_what_its_own_job_has_made_since_the_record_is_good_and_what_was_edited_after_it_is_not(root, jobs):
    made = seen(jobs, root)
    assert states(made, {}, {}, root, False) == ["good", "good"]
    later = (root / B).stat().st_mtime + 60
    (root / B).write_text("edited")
    os.utime(root / B, (later, later))
    verdicts = judge(made, {}, {}, root, False)
    assert (verdicts[1].good, verdicts[1].changed) == (False, [B])


def test_a_job_that_snakemake_does_not_know_is_judged_by_the_record_alone(root, jobs, stages):
    jobs[1] = replace(jobs[1], block={"rate": 0.2})  # of which Snakemake sees nothing without its own records
    assert states(jobs, stages, known(root), root, False) == ["holds", "stale"]


def test_the_ledger_is_not_believed_where_the_job_has_run_after_it(root, jobs, stages):
    """Recorded, run with other parameters, and then the recorded file put back: it is not what that job made."""
    before = known(root)
    later = (root / B).stat().st_mtime + 60
    made = [seen(jobs, root)[0], replace(jobs[1], block={"rate": 0.2}, made={B: later})]
    assert states(made, stages, before, root, False) == ["good", "stale"]


def test_a_ledger_of_another_shape_is_no_ledger(tmp_path):
    file = tmp_path / ".snakemake/fishbone/s.json"
    file.parent.mkdir(parents=True)
    for text in ("{}", "[]", '{"outputs": [], "sources": {}}', '{"outputs": {"a": 1}, "sources": {}}', "{"):
        file.write_text(text)
        assert ledger.read("s", tmp_path) == {"outputs": {}, "sources": {}}


def test_rights_and_copies_cost_no_unrecorded_result(root, jobs):
    made = seen(jobs, root)
    (root / B).chmod(0o600)
    shutil.copytree(root, root / "copy")
    assert states(made, {}, {}, root, False) == ["good", "good"]
    assert states(made, {}, {}, root / "copy", False) == ["good", "good"]


def test_the_cache_is_not_believed_where_it_is_damaged(root):
    (root / "object").write_text("damaged")
    assert not copied(root / "object", root / B, value("b"))
    (root / "object").write_text("b")
    (root / B).write_text("edited")
    assert copied(root / "object", root / B, value("b"))
    assert (root / B).read_text() == "b"
