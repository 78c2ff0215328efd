"""What MLflow is told, with a real sqlite store and servers that are not there."""

import json
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from recorded_study import JOBS, STUDY, record, recorded_study

from fishbone.provenance import runs, track
from fishbone.provenance.code import UNKNOWN, code_state

pytestmark = pytest.mark.xdist_group("track")  # one worker: making a database takes seconds
CODE = {"commit": "c0ffee", "dirty": "false"}


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """(project, client, {job: run}) of a study that was logged once."""
    root = recorded_study(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert str(track.track(STUDY, root, CODE)) == f"{JOBS} new runs"
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=f"sqlite:///{root}/mlflow.db")
        yield root, client, by_job(client)


def by_job(client):
    experiment = client.get_experiment_by_name(f"fishbone/{STUDY}")
    return {run.data.tags["job"]: run for run in client.search_runs([experiment.experiment_id])}


def test_runs_carry_stage_method_data_set_and_seed_as_fields_and_tags_and_the_job_s_parameters(logged):
    _, _, found = logged
    run = found["prune/digits/fls/seed1"]
    fields = {"stage": "prune", "method": "fls", "dataset": "digits", "seed": "1", "study": STUDY}
    assert fields.items() <= run.data.params.items()
    assert fields.items() <= run.data.tags.items()
    assert run.info.run_name == "prune fls digits seed 1"
    assert run.data.params["fls.form"] == "inner"
    assert run.data.params["gammas"] == "[0.001, 0.0001, 1e-05]"
    assert found["train/digits/seed0"].data.params["epochs"] == "3", "the overlay's value"
    exported = found["export/digits/fls-0.975"].data.params
    assert (exported["network"], exported["seed"]) == ("fls-0.975", "0")
    assert run.data.tags.items() >= {"mlflow.source.git.commit": "c0ffee", "git.dirty": "false"}.items()
    [data] = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.source) == ("digits", f"results/{STUDY}/prepare/digits.npz")


def test_accuracy_over_sparsity_has_sparsity_as_its_step(logged):
    _, client, found = logged
    run = found["prune/digits/fls/seed0"]
    curve = client.get_metric_history(run.info.run_id, "over_sparsity_x10000/test_accuracy")
    assert [(point.step, point.value) for point in curve] == [(5000, 0.94), (9750, 0.9)]
    assert run.data.metrics["test_accuracy/0.975"] == 0.9


def test_history_has_its_steps_and_export_its_facts_as_metrics(logged):
    _, client, found = logged
    history = client.get_metric_history(found["train/digits/seed0"].info.run_id, "history/validation_accuracy")
    assert [point.step for point in history] == list(range(1, 9))
    assert found["export/digits/fls-0.975"].data.metrics["facts/nonzero"] == 1900


@pytest.mark.parametrize(
    ("job", "files"),
    [
        ("train/digits/seed0", {"history.csv", "metrics.json"}),
        ("gan/digits/fsl_gan/seed0", {"history.csv", "metrics.json", "samples.png"}),
        ("export/digits/fls-0.975", {"fls-0.975.json"}),
        ("bench/digits/local", {"local.json", "local.metrics.json"}),
        ("report", {"report.html", "figures"}),
    ],
)
def test_artefacts_are_what_a_person_looks_at_and_never_weights(logged, job, files):
    root, client, found = logged
    run = found[job]
    assert {entry.path for entry in client.list_artifacts(run.info.run_id)} == files | {"parameters.json"}
    assert run.info.artifact_uri.startswith((root / "mlartifacts").as_uri())


def test_logging_again_logs_nothing_and_a_half_logged_run_is_logged_again(logged):
    root, client, found = logged
    assert track.track(STUDY, root, CODE) == track.Outcome(0)
    victim = found["train/digits/seed0"]
    client.update_run(victim.info.run_id, status="RUNNING")
    assert track.track(STUDY, root, CODE) == track.Outcome(1)
    after = by_job(client)
    assert len(after) == len(found)
    assert after["train/digits/seed0"].info.run_id != victim.info.run_id


def test_a_copied_project_writes_nothing_into_the_original(logged, tmp_path):
    root, _, _ = logged
    before = sorted(root.rglob("*"))
    assert track.track(STUDY, shutil.copytree(root, tmp_path / "copy"), CODE).logged == JOBS
    assert sorted(root.rglob("*")) == before


def test_unreachable_server_is_one_line_and_made_up_for_by_the_next_run(logged, tmp_path, monkeypatch, capfd):
    root = shutil.copytree(logged[0], tmp_path / "copy")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound but not listening: refuses
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{listener.getsockname()[1]}")
        outcome = track.catch_up(STUDY, root, CODE)
    assert (outcome.logged, outcome.waiting) == (0, JOBS)
    assert "Connection refused" in str(outcome)
    assert "\n" not in str(outcome)
    assert "secret" not in str(outcome)
    assert capfd.readouterr() == ("", "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert track.catch_up(STUDY, root, CODE) == track.Outcome(JOBS)


def test_where_all_is_logged_the_server_is_not_asked_until_runs_or_store_change(logged, tmp_path, monkeypatch):
    root = shutil.copytree(logged[0], tmp_path / "copy")
    track.track(STUDY, root, CODE)
    asked = track.Outcome(1)
    monkeypatch.setattr(track, "track", lambda *_: asked)
    assert track.catch_up(STUDY, root, CODE) == track.Outcome()
    metrics = root / "results" / STUDY / "train/digits/seed0/metrics.json"
    before = metrics.read_text()
    metrics.write_text(before.replace("0.16", "0.15"))
    record(root)
    assert track.catch_up(STUDY, root, CODE) == asked
    metrics.write_text(before)
    record(root)
    assert track.catch_up(STUDY, root, CODE) == track.Outcome()
    (root / "mlflow.db").unlink()
    assert track.catch_up(STUDY, root, CODE) == asked


@pytest.mark.slow
def test_a_server_that_never_answers_costs_seconds(tmp_path, monkeypatch):
    root = recorded_study(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{listener.getsockname()[1]}")
        outcome = track.track(STUDY, root, CODE)
    assert outcome.waiting == JOBS
    assert "timed out" in outcome.problem


def test_a_result_that_is_not_as_recorded_or_was_made_with_other_parameters_is_not_a_run(tmp_path):
    root = recorded_study(tmp_path)
    everything = {run.job for run in track.finished(STUDY, root)}
    metrics = root / "results" / STUDY / "train/digits/seed0/metrics.json"
    metrics.write_text(metrics.read_text().replace("0.16", "0.15"))
    assert everything - {run.job for run in track.finished(STUDY, root)} == {"train/digits/seed0"}
    record(root)
    assert everything == {run.job for run in track.finished(STUDY, root)}
    (root / "studies" / STUDY / "params.yaml").write_text("train: {epochs: 4}\n")
    left = {run.job for run in track.finished(STUDY, root)}
    assert everything - left == {"train/digits/seed0"}


def test_small_numbers_as_dvc_writes_them_are_the_parameters_they_were(tmp_path):
    lock = recorded_study(tmp_path) / "studies" / STUDY / "dvc.lock"
    text = lock.read_text()
    assert "1.0e-05" in text
    lock.write_text(text.replace("1.0e-05", "1e-05"))
    assert len(track.finished(STUDY, tmp_path)) == JOBS


def test_parameters_are_flattened_to_dotted_names():
    nested = {"a": {"b": [1, 2.5]}, "c": None, "d": {}, "e": "word"}
    assert dict(runs.flat(nested)) == {"a.b": "[1, 2.5]", "c": "null", "d": "{}", "e": "word"}


def test_a_value_longer_than_mlflow_takes_is_cut_in_the_field_and_whole_in_the_artefact(logged):
    root, client, _ = logged
    from fishbone.provenance.mlflow_sink import Sink

    parameters = {"long": "x" * 10_000, "n" * 300: 1}
    run = replace(track.finished(STUDY, root)[0], job="other", parameters=parameters, files={}, digest="other")
    Sink(f"sqlite:///{root}/mlflow.db", STUDY, root).log(run, CODE)
    kept = by_job(client)[run.job]
    assert (kept.data.params["long"], kept.data.params["n" * 250]) == ("x" * 6000, "1")
    text = client.download_artifacts(kept.info.run_id, "parameters.json")
    assert json.loads(Path(text).read_text()) == parameters


def test_code_state_is_the_commit_and_whether_tracked_files_differ_but_for_the_record(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
        return subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)

    assert code_state(tmp_path) == UNKNOWN
    for name in ("Snakefile", "dvc.lock"):
        (tmp_path / name).write_text("a")
    git("init", "--quiet")
    assert code_state(tmp_path) == UNKNOWN, "no commit yet"
    git("add", ".")
    git("commit", "--quiet", "--message", "m")
    commit = git("rev-parse", "HEAD").stdout.strip()
    (tmp_path / "dvc.lock").write_text("recorded")
    (tmp_path / "notes.txt").write_text("untracked")
    assert code_state(tmp_path) == {"commit": commit, "dirty": "false"}
    (tmp_path / "Snakefile").write_text("b")
    assert code_state(tmp_path) == {"commit": commit, "dirty": "true"}
    archive = tmp_path / "unpacked"
    archive.mkdir()
    (archive / "Snakefile").write_text("a")
    assert code_state(archive) == UNKNOWN, "inside somebody else's repository"


def test_code_state_without_git_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code_state(tmp_path) == UNKNOWN
