"""Clones, pulls and interrupted runs: results are taken over when they hold, and only then."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from workspace import Workspace

pytestmark = pytest.mark.xdist_group("finished")  # one worker: its tests share the finished study


@pytest.fixture(scope="session")
def pulled(finished, tmp_path_factory) -> Workspace:
    """A fresh clone of the finished project, with its results pulled from the remote."""
    target = tmp_path_factory.mktemp("pulled") / "clone"
    finished.run("git", "clone", "--quiet", str(finished.root), str(target))
    pulled = Workspace(target)
    pulled.dvc("pull", "--quiet", *pulled.stages())
    return pulled


@pytest.fixture
def clone(pulled, tmp_path) -> Workspace:
    """A copy of the fresh clone, for one test to change."""
    shutil.copytree(pulled.root, tmp_path / "clone", symlinks=True)
    return Workspace(tmp_path / "clone")


def locked_text(workspace: Workspace, stage: str) -> str:
    text = (workspace.root / "dvc.lock").read_text()
    return re.search(rf"^  {stage}:\n(?:    .*\n|  - .*\n)+", text, re.MULTILINE)[0]


def test_clone_and_pull_leave_nothing_to_do(clone):
    done = clone.fishbone("reproduce", "--study", "smoke")
    assert "nothing to do" in done.stdout
    assert clone.run("git", "status", "--porcelain").stdout == ""


def test_results_without_a_cache_hold_if_their_contents_do(clone):
    shutil.rmtree(clone.root / ".dvc" / "cache")
    for path in (clone.root / "results" / "smoke").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (clone.root / "results/smoke/federate/digits/fedavg/seed0/metrics.json").write_text("{}")
    adopted = clone.fishbone("adopt", "--study", "smoke").stdout
    assert adopted.split("to be run: ")[1].strip() == "smoke-federate, smoke-report"


def test_clone_with_an_edited_rule_runs_that_rule_and_what_follows(clone):
    rule = clone.root / "workflow/rules/federate.smk"
    rule.write_text(rule.read_text().replace("python -m fishbone federate", "python -O -m fishbone federate"))
    clone.fishbone("generate")
    adopted = clone.fishbone("adopt", "--study", "smoke").stdout
    assert "to be run: smoke-federate, smoke-report" in adopted
    assert clone.pending_stages() == {"federate", "report"}


def test_clone_with_changed_parameters_runs_what_depends_on_them(clone):
    overlay = clone.root / "studies/smoke.yaml"
    overlay.write_text(overlay.read_text().replace("sparsities: [0.5, 0.8]", "sparsities: [0.6, 0.8]"))
    clone.fishbone("generate")
    clone.fishbone("adopt", "--study", "smoke")
    assert clone.pending_stages() == {"prune", "export", "bench", "report"}


def test_a_damaged_result_is_found_by_its_hash_and_made_again(clone):
    history = clone.root / "results/smoke/train/digits/seed0/history.csv"
    history.chmod(0o644)
    history.write_text(history.read_text() + "tampered\n")
    adopted = clone.fishbone("adopt", "--study", "smoke").stdout
    assert "smoke-train" in adopted.split("to be run:")[1]


def test_results_of_plain_snakemake_are_kept_and_recorded_by_the_next_reproduce(finished, tmp_path):
    """Other parameters than the recorded ones, run by snakemake alone in a clean clone, then `reproduce`."""
    finished.run("git", "clone", "--quiet", str(finished.root), str(tmp_path / "plain"))
    plain = Workspace(tmp_path / "plain")
    study = plain.root / "studies" / "smoke.yaml"
    text = study.read_text().replace("  epochs: 2", "  epochs: 1")
    study.write_text(re.sub(r"^stages: .*$", "stages: [prepare, train]", text, flags=re.MULTILINE))
    plain.fishbone("generate")
    recorded = locked_text(plain, "smoke-prune")
    assert "1e-05" in recorded
    plain.run(sys.executable, "-m", "snakemake", "--config", "study=smoke", "--cores", "2")
    done = plain.fishbone("reproduce", "--study", "smoke").stdout
    assert "adopted" not in done
    assert "nothing to do" in done
    assert "recorded: prepare, train" in done
    assert "recorded" not in plain.fishbone("reproduce", "--study", "smoke").stdout
    assert locked_text(plain, "smoke-prune") == recorded  # a record that others left alone is the same text


def test_stored_results_belong_to_the_committed_code_without_any_data(finished, tmp_path):
    finished.run("git", "clone", "--quiet", str(finished.root), str(tmp_path / "bare"))
    bare = Workspace(tmp_path / "bare")
    dry = ("repro", "--dry", "--allow-missing", *bare.stages())
    assert "up to date" in bare.dvc(*dry).stdout
    source = bare.root / "src/fishbone/report/verdict.py"
    source.write_text(source.read_text() + "\n")
    edited = bare.dvc(*dry, check=False)
    # Without its data the stage cannot start: what counts is that DVC wants to run it, and it alone.
    assert "Data and pipelines are up to date" not in edited.stdout
    assert "smoke-report" in edited.stdout + edited.stderr
    assert edited.returncode != 0


def test_dvc_itself_records_the_same_bytes(clone):
    before = (clone.root / "dvc.lock").read_bytes()
    clone.dvc("commit", "--quiet", "--force", *clone.stages())
    assert (clone.root / "dvc.lock").read_bytes() == before


def test_outdated_dvc_yaml_is_refused_and_nothing_is_blessed(clone):
    path = clone.root / "dvc.yaml"
    path.write_text(path.read_text() + "# edited\n")
    before = (clone.root / "dvc.lock").read_bytes()
    refused = clone.fishbone("record", "--study", "smoke", check=False)
    assert refused.returncode == 2
    assert "fishbone generate" in refused.stderr
    assert (clone.root / "dvc.lock").read_bytes() == before


def test_tracking_twice_logs_once_and_a_clone_can_rebuild_the_database(finished, clone):
    assert finished.fishbone("track", "--study", "smoke").stdout == "0 new runs\n"
    assert not (clone.root / "mlflow.db").exists()
    count = int(clone.fishbone("track", "--study", "smoke").stdout.split()[0])
    metrics = list(Path(clone.root / "results").rglob("*metrics.json"))
    assert count > len(metrics) > 5, "those of prepare, export and report have none"


def test_publish_keeps_small_results_for_a_clone_without_any_other_remote(clone):
    stray = clone.root / "recorded/files/md5/00/0123456789abcdef0123456789abcd"
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_text("of no record")
    clone.fishbone("publish", "--study", "smoke")
    assert not stray.exists()
    shutil.rmtree(clone.root / ".dvc" / "cache")
    shutil.rmtree(clone.root / "results")
    clone.dvc("pull", "--quiet", "--allow-missing", "--remote", "recorded", *clone.stages())
    found = {path.relative_to(clone.root / "results/smoke") for path in (clone.root / "results").rglob("*.*")}
    assert {path.suffix for path in found if path.parts[0] != "train"} == {".json", ".csv", ".svg", ".html"}
    assert Path("train/digits/seed0/model.safetensors") in found
    assert not any(path.stat().st_size >= 1_000_000 for path in (clone.root / "recorded").rglob("*"))


def test_publish_of_results_that_are_not_here_says_so_and_removes_nothing(clone):
    shutil.rmtree(clone.root / ".dvc" / "cache")
    before = sorted((clone.root / "recorded").rglob("*"))
    done = clone.fishbone("publish", "--study", "smoke", check=False)
    assert done.returncode == 2
    assert "not in DVC's cache" in done.stderr
    assert "results/smoke/" in done.stderr
    assert "nothing is recorded" in clone.fishbone("publish", "--study", "quick", check=False).stderr
    assert sorted((clone.root / "recorded").rglob("*")) == before


def test_claims_print_as_json(finished):
    claims = json.loads(finished.fishbone("claims", "--study", "smoke", "--json").stdout)
    assert {claim["verdict"] for claim in claims} <= {"holds", "fails", "not tested"}
    assert all(claim["why"] and (claim["setting"] or claim["measured"] is None) for claim in claims)


def test_snakemakes_own_report_works(finished, tmp_path):
    page = tmp_path / "snakemake.html"
    finished.run("snakemake", "--config", "study=smoke", "--report", str(page))
    assert "figures/" in page.read_text() or page.stat().st_size > 100_000
