import json
import math

import pytest
from report import small_study

from fishbone.errors import InputError
from fishbone.files import write_json, write_text
from fishbone.report.study import read_history, read_study


def test_a_path_says_stage_data_method_and_seed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = small_study.everything(tmp_path / "results" / "quick")
    study = read_study(files, {})
    assert study.name == "quick"
    assert study.stages == ["prepare", "train", "prune", "federate", "gan", "export", "bench"]
    assert study.names("prune") == ["fls", "obs", "magnitude"]
    assert study.names("federate", "digits") == ["hovefl-12-6", "hovefl-6-12", "fedavg", "centralised"]
    assert list(study.runs("prune", "digits", "fls")) == [0, 1, 2]
    assert study.names("bench") == ["local"]
    run = study.runs("train", "digits")[1]
    assert run.artefact == "results/quick/train/digits/seed1/metrics.json"
    assert len(study.results) == len(files)


def test_order_of_the_files_does_not_matter(tmp_path):
    files = small_study.everything(tmp_path / "quick")
    assert read_study(files, {}) == read_study(reversed(files), {})


def test_files_that_are_not_named_are_not_read(tmp_path):
    files = [small_study.prune(tmp_path / "quick", "fls", seed, {"0.9": 0.9}) for seed in range(3)]
    assert list(read_study(files[:2], {}).runs("prune", "digits", "fls")) == [0, 1]


def test_a_data_set_may_be_called_like_a_stage(tmp_path):
    file = small_study.export(tmp_path / "quick", "dense", 10, dataset="bench")
    only = read_study([file], {}).results[0]
    assert (only.stage, only.dataset, only.name) == ("export", "bench", "dense")


@pytest.mark.parametrize("name", ["train/digits/metrics.json", "bench/digits/local.metrics.json", "other/digits.json"])
def test_a_path_outside_the_layout_is_refused(tmp_path, name):
    write_json(tmp_path / "quick" / name, {})
    with pytest.raises(InputError, match="not where a stage puts its results"):
        read_study([tmp_path / "quick" / name], {})


def test_no_files_and_two_studies_are_refused(tmp_path):
    with pytest.raises(InputError, match="no files"):
        read_study([], {})
    with pytest.raises(InputError, match="files of two studies"):
        read_study([small_study.prepare(tmp_path / "a"), small_study.prepare(tmp_path / "b")], {})


@pytest.mark.parametrize("content", [[1], {"source": "digits"}])
def test_content_without_what_a_stage_writes_is_refused(tmp_path, content):
    write_json(tmp_path / "quick/prepare/digits.json", content)
    with pytest.raises(InputError, match=r"digits\.json: (source|counts): key is missing"):
        read_study([tmp_path / "quick/prepare/digits.json"], {})


@pytest.mark.parametrize("key", ["method", "sparsity", "int8", "runtime"])
def test_a_benchmark_of_before_its_rows_said_what_they_are_is_refused(tmp_path, key):
    rows = [small_study.model(name, 300, 1000, None) for name in ("dense", "fls-0.9")]
    del rows[1][key]
    with pytest.raises(InputError, match=rf"local\.json: models\.1\.{key}: key is missing.*Run the stage bench again"):
        read_study([small_study.bench(tmp_path / "quick", rows)], {})


@pytest.mark.parametrize("accuracy", [1.19, -0.1, float("nan"), "high"])
def test_a_number_that_its_quantity_cannot_be_is_refused_with_file_and_key(tmp_path, accuracy):
    file = small_study.train(tmp_path / "quick", 0)
    file.write_text(json.dumps({"test_accuracy": accuracy}))
    with pytest.raises(InputError, match=r"seed0/metrics\.json: test_accuracy: lies outside 0 to 1"):
        read_study([file], {})


def test_history_with_an_empty_cell_reads_as_nan(tmp_path):
    write_text(tmp_path / "history.csv", "step,loss\n1,0.5\n2,\n")
    history = read_history(tmp_path / "history.csv")
    assert history["step"].tolist() == [1, 2]
    assert history["loss"][0] == 0.5
    assert math.isnan(history["loss"][1])


def test_broken_and_missing_histories_are_named(tmp_path):
    write_text(tmp_path / "history.csv", "step,loss\n1,high\n")
    with pytest.raises(InputError, match=r"history\.csv: not a table of numbers"):
        read_history(tmp_path / "history.csv")
    with pytest.raises(InputError, match="file is missing"):
        read_history(tmp_path / "none.csv")
