import csv

import pytest
from report import small_study

from fishbone.bench import results
from fishbone.files import read_json
from fishbone.report.bench_table import bench_notes
from fishbone.report.intervals import Interval
from fishbone.report.labels import Named
from fishbone.report.study import read_study
from fishbone.report.summaries import TABLES
from fishbone.report.tables import Column, Table, show


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (Interval(0.9513, 0.9, 1.0026, 3), "percent", "95.1 % [90.0, 100.3]"),
        (Interval(0.5, None, None, 1), "percent", "50.0 %"),
        (1234567, "count", "1,234,567"),
        (0, "bytes", "0 B"),
        (15_520_000, "bytes", "15.5 MB"),
        (0.1234, "ms", "0.123 ms"),
        (Interval(1.5, 1.25, 1.75, 30), "times", "1.50× [1.25, 1.75]"),
        (Interval(1243.1, 999.6, 1250.4, 3), "number", "1,243 [1,000, 1,250]"),
        (0.07847, "number", "0.0785"),
        (None, "percent", "–"),
        (Named("hovefl-12-6", "HoVeFL 12 H + 6 V"), "name", "HoVeFL 12 H + 6 V"),
        ("hovefl-12-6", "text", "hovefl-12-6"),
    ],
)
def test_cells_have_units(value, kind, text):
    assert show(value, kind) == text


def test_csv_has_three_columns_for_an_interval_and_plain_numbers(tmp_path):
    columns = [Column("name", "Name", "name"), Column("loss", "Loss"), Column("n", "N", "count")]
    rows = [{"name": Named("fls", "FLS"), "loss": Interval(1.5, 1.0, 2.0, 3), "n": 3}, {"name": "obs", "loss": 2.5}]
    Table(columns, rows).write_csv(tmp_path / "t.csv")
    expected = "name,loss,loss_low,loss_high,n\nfls,1.5,1.0,2.0,3\nobs,2.5,,,\n"
    assert (tmp_path / "t.csv").read_text() == expected


def test_each_stage_has_a_row_a_method_with_means_over_seeds(tmp_path):
    losses = [0.4, 0.5, 0.6]
    files = [small_study.federate(tmp_path / "s", "fedavg", seed, loss) for seed, loss in enumerate(losses)]
    table = TABLES["federate"](read_study(files, {}))
    (row,) = table.rows
    assert row["test_loss"].mean == pytest.approx(0.5)
    assert (row["method"], row["seeds"], row["bytes_vertical"]) == (Named("fedavg", "FedAvg"), 3, 9_000_000)


def test_tables_have_no_accuracy_beyond_100_and_no_negative_distance(tmp_path):
    root = tmp_path / "s"
    files = [small_study.train(root, seed, accuracy=accuracy) for seed, accuracy in enumerate((0.75, 0.999, 0.99))]
    files += [small_study.prune(root, "fls", seed, {"0.9": accuracy}) for seed, accuracy in enumerate((0.02, 0.9))]
    files += [small_study.gan(root, "fsl_gan", seed, fcd) for seed, fcd in enumerate((1.0, 30.0))]
    study = read_study(files, {})
    (trained,), (pruned,), (generated,) = (TABLES[stage](study).rows for stage in ("train", "prune", "gan"))
    for found in (trained["test_accuracy"], pruned["test_accuracy"], generated["class_tv"]):
        assert 0 <= found.low <= found.mean <= found.high <= 1
    assert 0 < generated["fcd"].low < generated["fcd"].mean


def test_pruning_has_a_row_a_sparsity_in_ascending_order(tmp_path):
    files = [small_study.prune(tmp_path / "s", "fls", seed, {"0.95": 0.8, "0.5": 0.9}) for seed in range(2)]
    rows = TABLES["prune"](read_study(files, {})).rows
    assert [row["sparsity"] for row in rows] == [0.5, 0.95]
    assert rows[1]["test_accuracy"].mean == pytest.approx(0.8)
    assert rows[1]["test_accuracy_without_recalibration"].mean == pytest.approx(0.4)
    assert rows[1]["seconds"].mean == pytest.approx(10.5)
    assert (rows[1]["peak_bytes"], rows[1]["backward_passes"]) == (10**8, 1200)


def test_a_run_that_was_resumed_leaves_its_cost_out(tmp_path):
    none = dict.fromkeys(("seconds", "tuning_seconds", "peak_bytes", "backward_passes"))
    files = [
        small_study.prune(tmp_path / "s", "fls", 0, {"0.9": 0.8}),
        small_study.prune(tmp_path / "s", "fls", 1, {"0.9": 0.8}, **none),
    ]
    (row,) = TABLES["prune"](read_study(files, {})).rows
    assert row["seconds"] is None
    assert row["test_accuracy"].n == 2


def test_a_benchmark_without_accuracy_or_models_still_has_rows(tmp_path):
    untested = small_study.model("dense", 300, 100, None) | {
        "accuracy": None,
        "latency": None,
        "status": "oom",
        "cold": [],
    }
    files = [
        small_study.bench(tmp_path / "s", [untested], "small"),
        small_study.bench(tmp_path / "s", [], "gone", status="timeout"),
    ]
    study = read_study(files, {})
    assert [row["status"] for row in TABLES["bench"](study).rows] == ["oom", "timeout"]
    assert any(
        "timeout: no answer within 600 s" in note for result in study.of("bench") for note in bench_notes(result)
    )


def test_an_accuracy_that_rests_on_an_assumption_says_so_in_its_cell_and_in_csv_by_its_status(tmp_path):
    sure = small_study.model("dense", 300, 100, None)
    models = [sure] + [sure | {"name": state, "status": state} for state in ("assumed", "no_answer", "parity_fail")]
    table = TABLES["bench"](read_study([small_study.bench(tmp_path / "s", models)], {}))
    place = [column.key for column in table.columns].index("accuracy")
    plain, *doubted = [row[place] for row in table.cells()]
    assert plain == "83.6 % [80.6, 85.6]"
    assert doubted == [f"{plain} ({why})" for why in ("assumed", "images without an answer", "other outputs")]
    table.write_csv(tmp_path / "t.csv")
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert len({row["accuracy"] for row in rows}) == 1
    assert [row["status"] for row in rows] == ["ok", "assumed", "no_answer", "parity_fail"]


def test_these_tests_write_benchmarks_as_the_schema_has_them(tmp_path):
    one = small_study.model("dense", 300, 100, (1.0, 0.9, 1.1))
    places = {
        results.DeviceResult: read_json(small_study.bench(tmp_path / "s", [])),
        results.ModelResult: one,
        results.ColdStart: one["cold"][0],
        results.Accuracy: one["accuracy"],
        results.Latency: one["latency"],
        results.Interval: one["speedup"],
        results.FileFacts: one["facts"] | read_json(small_study.export(tmp_path / "s", "dense", 100))["facts"],
    }
    for schema, written in places.items():
        assert set(written) <= set(schema.model_fields), schema


def test_tables_of_all_stages_agree_with_their_csv(tmp_path):
    study = read_study(small_study.everything(tmp_path / "s"), {})
    for stage, build in TABLES.items():
        table = build(study)
        table.write_csv(tmp_path / f"{stage}.csv")
        with open(tmp_path / f"{stage}.csv", newline="", encoding="utf-8") as file:
            written = list(csv.DictReader(file))
        assert len(written) == len(table.rows) > 0
        assert all(len(cells) == len(table.columns) for cells in table.cells())
