"""Clones, pulls, damage and interrupted runs: results are taken over when they hold, and only then."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from workspace import Workspace

pytestmark = pytest.mark.xdist_group("finished")  # one worker: its tests share the finished study


@pytest.fixture(scope="session")
def pulled(finished, tmp_path_factory) -> Workspace:
    """A fresh clone of the finished project, with its results pulled from the remote."""
    target = tmp_path_factory.mktemp("pulled") / "clone"
    finished.run("git", "clone", "--quiet", str(finished.root), str(target))
    pulled = Workspace(target)
    assert ", 0 are nowhere" in pulled.fishbone("pull", "--study", "smoke").stdout
    return pulled


@pytest.fixture
def clone(pulled, tmp_path) -> Workspace:
    """A copy of the fresh clone, for one test to change."""
    shutil.copytree(pulled.root, tmp_path / "clone", symlinks=True)
    return Workspace(tmp_path / "clone")


@pytest.fixture
def settled(finished, tmp_path) -> Workspace:
    """A copy of the finished project with Snakemake's records of its own, for one test to change."""
    shutil.copytree(finished.root, tmp_path / "settled", symlinks=True)
    return Workspace(tmp_path / "settled")


def without_cache(workspace: Workspace) -> None:
    shutil.rmtree(workspace.root / ".dvc" / "cache")


def flip(file: Path, keep_time: bool = False) -> None:
    """Change one bit, and keep the time of modification or not."""
    before, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    if keep_time:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def lock(workspace: Workspace) -> bytes:
    return (workspace.root / "studies/smoke/dvc.lock").read_bytes()


def adopted(workspace: Workspace) -> list[str]:
    """Jobs that are to be run, as an adoption says."""
    told = workspace.fishbone("adopt", "--study", "smoke").stdout
    return sorted(re.findall(r"^  \w+: (\S+)$", told, re.MULTILINE))


# Clone and pull


def test_clone_and_pull_leave_nothing_to_do(clone):
    assert "nothing to do" in clone.reproduce().stdout
    assert clone.run("git", "status", "--porcelain").stdout == ""
    assert clone.pending() == []


def test_an_archive_without_git_and_without_snakemakes_records_is_adopted(clone):
    shutil.rmtree(clone.root / ".git")
    shutil.rmtree(clone.root / ".snakemake", ignore_errors=True)
    without_cache(clone)
    done = clone.reproduce()
    assert "nothing to do" in done.stdout
    assert "Traceback" not in done.stderr
    assert "unknown" in clone.result("report/report.html").read_text()


def test_results_without_a_cache_hold_if_their_contents_do(clone):
    without_cache(clone)
    clone.result("federate/digits/fedavg/seed0/metrics.json").write_text("{}")
    assert adopted(clone) == ["federate/digits/fedavg/seed0/metrics.json"]
    # Snakemake does not know before that job has run whether the report's inputs come out as they were.
    assert clone.pending() == ["federate/digits/fedavg/seed0/metrics.json", "report/page.html"]


def test_clone_with_an_edited_rule_runs_that_rule_and_what_follows(clone):
    rule = clone.root / "workflow/rules/federate.smk"
    rule.write_text(rule.read_text().replace("federate --method", "federate  --method"))
    clone.fishbone("adopt", "--study", "smoke")
    assert clone.pending_stages() == {"federate", "report"}


def test_clone_with_changed_parameters_runs_what_depends_on_them(clone):
    text = clone.overlay.read_text()
    clone.overlay.write_text(text.replace("sparsities: [0.5, 0.8]", "sparsities: [0.6, 0.8]"))
    clone.fishbone("adopt", "--study", "smoke")
    assert clone.pending_stages() == {"prune", "export", "bench", "report"}


def test_clone_with_one_seed_more_runs_that_seed_and_the_report(clone):
    text = clone.overlay.read_text()
    clone.overlay.write_text(text.replace("seeds: [0] # train", "seeds: [0, 1]"))
    clone.fishbone("adopt", "--study", "smoke")
    assert clone.pending() == ["report/page.html", "train/digits/seed1/model.safetensors"]


def test_a_network_less_is_benched_again(clone):
    """What is left is what it was, but the measured models took turns with that one."""
    text = clone.overlay.read_text()
    clone.overlay.write_text(text.replace("activations: [u8s8], networks: [fls-0.8]", "activations: [], networks: []"))
    clone.fishbone("adopt", "--study", "smoke")
    assert clone.pending_stages() == {"export", "bench", "report"}


def test_clone_with_another_value_that_the_study_overrides_runs_nothing(clone):
    with clone.edited("params.yaml", "  epochs: 8", "  epochs: 9"):
        assert adopted(clone) == []
        assert clone.pending() == []


@pytest.mark.slow
def test_clone_without_one_small_file_takes_it_from_the_cache_or_runs_its_job_alone(clone):
    history = clone.result("train/digits/seed0/history.csv")
    content = history.read_bytes()
    history.unlink()
    assert adopted(clone) == []
    assert history.read_bytes() == content
    without_cache(clone)
    history.unlink()
    done = clone.reproduce()
    assert re.findall(r"^(\w+) +\d+$", done.stderr, re.MULTILINE) == ["train", "total"]
    assert "nothing to do" in done.stdout
    assert history.read_bytes() == content


def test_a_dry_run_in_a_clone_tells_what_a_run_would_do_and_does_nothing(clone):
    clone.overlay.write_text(clone.overlay.read_text().replace("  epochs: 2", "  epochs: 3"))
    clone.result("federate/digits/fedavg/seed0/history.csv").unlink()
    shutil.rmtree(clone.root / ".snakemake", ignore_errors=True)
    before = {path: path.stat().st_mtime_ns for path in clone.root.rglob("*") if path.is_file()}
    told = clone.reproduce("--dry-run").stderr
    assert "1 results would be restored: results/smoke/federate/digits/fedavg/seed0/history.csv" in told
    rules = set(re.findall(r"^  (\w+): \d+ \(", told, re.MULTILINE))
    assert rules == {"train", "prune", "gan", "export", "bench", "report"}
    here = {path: path.stat().st_mtime_ns for path in clone.root.rglob("*") if path.is_file()}
    assert {path: time for path, time in here.items() if ".snakemake" not in path.parts} == before


def test_pull_leaves_newer_results_of_this_machine_alone(settled):
    settled.overlay.write_text(settled.overlay.read_text().replace("  epochs: 2", "  epochs: 1"))
    settled.run(sys.executable, "-m", "snakemake", "--config", "study=smoke", "--cores", "2", "--until", "train")
    metrics = settled.result("train/digits/seed0/metrics.json")
    newer = metrics.read_text()
    assert "newer results of this machine" in settled.fishbone("pull", "--study", "smoke").stdout
    assert metrics.read_text() == newer


# Damage


@pytest.mark.parametrize("keep_time", [False, True])
def test_a_flipped_bit_is_mended_from_the_cache_and_nothing_runs(settled, keep_time):
    before, data = lock(settled), settled.result("prepare/digits.npz")
    content = data.read_bytes()
    flip(data, keep_time)
    done = settled.reproduce()
    assert "restored: results/smoke/prepare/digits.npz" in done.stderr
    assert "nothing to do" in done.stdout
    assert data.read_bytes() == content
    assert lock(settled) == before


@pytest.mark.slow
def test_what_plain_snakemake_made_of_a_damaged_file_is_not_recorded_under_the_right_one(settled):
    before, data = lock(settled), settled.result("prepare/digits.npz")
    metrics = settled.result("federate/digits/fedavg/seed0/metrics.json")
    right = metrics.read_text()
    arrays = dict(np.load(data))
    np.savez(data, **arrays | {"labels": np.roll(arrays["labels"], 1)})
    settled.run(sys.executable, "-m", "snakemake", "--config", "study=smoke", "--cores", "2", "--until", "federate")
    assert metrics.read_text() != right
    settled.reproduce()
    assert metrics.read_text() == right
    assert lock(settled) == before


@pytest.mark.slow
def test_a_flipped_bit_without_a_cache_runs_its_job_and_nothing_that_follows(settled):
    data = settled.result("prepare/digits.npz")
    content = data.read_bytes()
    without_cache(settled)
    flip(data)
    done = settled.reproduce()
    assert "changed without its job running, is made again: results/smoke/prepare/digits.npz" in done.stderr
    assert re.findall(r"^(\w+) +\d+$", done.stderr, re.MULTILINE) == ["prepare", "total"]
    assert "nothing to do" in done.stdout
    assert data.read_bytes() == content


@pytest.mark.parametrize("name", ["prune/digits/fls/seed0/metrics.json", "bench/digits/local.metrics.json"])
def test_an_edited_number_is_never_recorded(settled, name):
    before, metrics = lock(settled), settled.result(name)
    content = metrics.read_text()
    metrics.write_text(content.replace("0.", "0.1", 1))
    refused = settled.fishbone("record", "--study", "smoke").stdout
    assert f"not recorded, changed since its job ended: results/smoke/{name}" in refused
    assert lock(settled) == before
    assert f"restored: results/smoke/{name}" in settled.reproduce().stderr
    assert metrics.read_text() == content
    assert lock(settled) == before


@pytest.mark.slow
def test_verify_finds_what_no_file_time_tells(settled):
    ledger = settled.root / ".snakemake/fishbone/smoke.json"
    metrics = settled.result("federate/digits/fedavg/seed0/metrics.json")
    metrics.write_text("{}")
    found, noted = metrics.stat(), json.loads(ledger.read_text())
    noted["outputs"]["results/smoke/federate/digits/fedavg/seed0/metrics.json"][0] = [
        found.st_size, found.st_mtime_ns, found.st_ctime_ns,
    ]  # fmt: skip
    ledger.write_text(json.dumps(noted))
    assert "restored" not in settled.reproduce().stderr
    assert "fedavg/seed0/metrics.json" in settled.reproduce("--verify").stderr
    assert metrics.read_text() != "{}"


# Interrupted, twice at once


@pytest.fixture
def long_run(settled) -> Workspace:
    """Its federated jobs have to run again, and take a while."""
    settled.overlay.write_text(settled.overlay.read_text().replace("  rounds: 2\ngan", "  rounds: 60\ngan"))
    return settled


def started(workspace: Workspace) -> subprocess.Popen:
    """`reproduce`, once a federated job of it has begun."""
    environment = {**os.environ, "PYTHONPATH": str(workspace.root / "src")}
    command = [sys.executable, "-m", "fishbone", "reproduce", "--study", "smoke", "--cores", "2"]
    process = subprocess.Popen(
        command, cwd=workspace.root, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not _jobs(workspace) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.1)
    return process


def _jobs(workspace: Workspace) -> list[int]:
    """Processes of this workspace's stages."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            here = (folder / "cwd").resolve() == workspace.root
            if here and b"\0federate\0" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def test_second_run_says_who_holds_the_study_and_changes_nothing_and_sigterm_ends_all(long_run):
    before, first = lock(long_run), started(long_run)
    try:
        second = long_run.reproduce(check=False)
        assert second.returncode == 2
        assert re.search(rf"process {first.pid} on \S+ \(since 20", second.stderr), second.stderr
        assert first.poll() is None
        assert _jobs(long_run)
    finally:
        first.send_signal(signal.SIGTERM)
        first.wait(30)
    assert first.returncode == 128 + signal.SIGTERM
    assert _jobs(long_run) == []
    assert lock(long_run) == before


@pytest.mark.slow
def test_a_run_that_was_killed_whole_resumes_by_itself(long_run):
    first = started(long_run)
    children = _jobs(long_run)
    snakemake = {int(Path(f"/proc/{child}/stat").read_text().split()[3]) for child in children}
    for group in {os.getpgid(process) for process in {*children, *snakemake, first.pid}}:
        os.killpg(group, signal.SIGKILL)
    first.wait()
    done = long_run.reproduce()
    assert "recorded: " in done.stdout
    assert long_run.pending() == []
    assert "not yet run: nothing" in done.stdout


# Plain Snakemake and DVC


@pytest.mark.slow
def test_results_of_plain_snakemake_are_kept_and_recorded_by_the_next_reproduce(finished, tmp_path):
    """Other parameters than the recorded ones, run by snakemake alone in a clean clone, then `reproduce`."""
    finished.run("git", "clone", "--quiet", str(finished.root), str(tmp_path / "plain"))
    plain = Workspace(tmp_path / "plain")
    text = plain.overlay.read_text().replace("  epochs: 2", "  epochs: 1")
    plain.overlay.write_text(re.sub(r"^stages: .*$", "stages: [prepare, train]", text, flags=re.MULTILINE))
    pruned = re.search(r"^  prune:\n(?:    .*\n|  - .*\n)+", lock(plain).decode(), re.MULTILINE)[0]
    assert "1e-05" in pruned
    plain.run(sys.executable, "-m", "snakemake", "--config", "study=smoke", "--cores", "2")
    done = plain.reproduce().stdout
    assert "nothing to do" in done
    assert "recorded: prepare, train" in done
    assert "recorded" not in plain.reproduce().stdout
    assert pruned in lock(plain).decode()  # a record that others left alone is the same text


def test_stored_results_belong_to_the_committed_code_without_any_data(finished, tmp_path):
    finished.run("git", "clone", "--quiet", str(finished.root), str(tmp_path / "bare"))
    bare = Workspace(tmp_path / "bare")
    dry = ("repro", "--dry", "--allow-missing", "studies/smoke/dvc.yaml")
    assert "up to date" in bare.dvc(*dry).stdout
    source = bare.root / "src/fishbone/report/verdict.py"
    source.write_text(source.read_text() + "\nEDITED = 1\n")
    bare.fishbone("generate", "--study", "smoke")
    edited = bare.dvc(*dry, check=False)
    # Without its data the stage cannot start: what counts is that DVC wants to run it, and it alone.
    assert "Data and pipelines are up to date" not in edited.stdout
    assert "dvc.yaml:report" in edited.stdout + edited.stderr
    assert edited.returncode != 0


def test_dvc_itself_finds_nothing_changed_and_records_the_same_bytes(clone):
    assert "up to date" in clone.dvc("status").stdout
    before = lock(clone)
    clone.dvc("commit", "--quiet", "--force", "studies/smoke/dvc.yaml")
    assert lock(clone) == before


@pytest.mark.slow
def test_dvc_runs_a_stage_that_it_finds_changed_and_it_alone(clone):
    text = clone.overlay.read_text()
    clone.overlay.write_text(text + "report: { title: Another }\n")
    clone.fishbone("generate", "--study", "smoke")
    done = clone.dvc("repro", "studies/smoke/dvc.yaml").stdout
    assert "Running stage 'studies/smoke/dvc.yaml:report'" in done.replace("'../smoke", "'studies/smoke")
    assert done.count("Running stage") == 1
    assert "Another" in clone.result("report/page.html").read_text()


def test_outdated_dvc_yaml_is_refused_and_nothing_is_blessed(clone):
    path = clone.root / "studies/smoke/dvc.yaml"
    path.write_text(path.read_text() + "# edited\n")
    before = lock(clone)
    refused = clone.fishbone("record", "--study", "smoke", check=False)
    assert refused.returncode == 2
    assert "fishbone generate" in refused.stderr
    assert lock(clone) == before


# What is made of records


def test_tracking_twice_logs_once_and_a_clone_can_rebuild_the_database(finished, clone):
    assert finished.fishbone("track", "--study", "smoke").stdout == "0 new runs\n"
    assert not (clone.root / "mlflow.db").exists()
    count = int(clone.fishbone("track", "--study", "smoke").stdout.split()[0])
    assert count == len({Path(path).parent for path in clone.recorded()["train"].outs}) + 12


def test_publish_keeps_plain_files_and_trained_networks_for_a_clone_without_any_other_remote(clone):
    stray = clone.root / "recorded/files/md5/00/0123456789abcdef0123456789abcd"
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_text("of no record")
    gone = clone.root / "recorded/smoke/train/digits/seed9/metrics.json"
    gone.parent.mkdir(parents=True)
    gone.write_text("{}")
    clone.fishbone("publish", "--study", "smoke")
    assert not stray.exists()
    assert not gone.exists()
    metrics = clone.root / "recorded/smoke/prune/digits/fls/seed0/metrics.json"
    assert json.loads(metrics.read_text())["dense_test_accuracy"] > 0
    without_cache(clone)
    shutil.rmtree(clone.root / "results")
    clone.dvc("remote", "default", "--unset")
    clone.fishbone("pull", "--study", "smoke")
    found = {path.relative_to(clone.root / "results/smoke") for path in (clone.root / "results").rglob("*.*")}
    assert {path.suffix for path in found if path.parts[0] != "train"} == {".json", ".csv"}
    assert Path("train/digits/seed0/model.safetensors") in found
    assert not any(path.stat().st_size >= 1_000_000 for path in (clone.root / "recorded").rglob("*"))


def test_publish_needs_no_cache_and_takes_all_or_nothing(clone):
    without_cache(clone)
    clone.fishbone("publish", "--study", "smoke")
    network = clone.recorded()["train"].outs["results/smoke/train/digits/seed0/model.safetensors"]
    assert (clone.root / "recorded/files/md5" / network[:2] / network[2:]).is_file()
    shutil.rmtree(clone.root / "recorded/smoke")
    clone.result("train/digits/seed0/model.safetensors").write_bytes(b"")
    assert clone.fishbone("publish", "--study", "smoke", check=False).returncode == 2
    assert not (clone.root / "recorded/smoke").exists()


def test_publish_of_results_that_are_not_as_recorded_says_so_and_removes_nothing(clone):
    clone.result("prune/digits/fls/seed0/metrics.json").write_text("{}")
    before = sorted((clone.root / "recorded").rglob("*"))
    done = clone.fishbone("publish", "--study", "smoke", check=False)
    assert done.returncode == 2
    assert "results/smoke/prune/digits/fls/seed0/metrics.json: is not here as it is recorded" in done.stderr
    assert "nothing is recorded" in clone.fishbone("publish", "--study", "quick", check=False).stderr
    assert set(before) <= set((clone.root / "recorded").rglob("*"))


def test_claims_print_as_json(finished):
    claims = json.loads(finished.fishbone("claims", "--study", "smoke", "--json").stdout)
    assert {claim["verdict"] for claim in claims} <= {"holds", "fails", "not tested"}
    assert all(claim["why"] and (claim["setting"] or claim["measured"] is None) for claim in claims)


def test_snakemakes_own_report_works(finished, tmp_path):
    page = tmp_path / "snakemake.html"
    finished.run("snakemake", "--config", "study=smoke", "--report", str(page))
    for figure in ("train", "prune", "federate", "gan", "bench"):
        assert f"results/smoke/report/figures/{figure}.svg" in page.read_text()
