import json
import re

import pytest
from click.testing import CliRunner
from report import small_study

from fishbone.cli import cli
from fishbone.errors import InputError
from fishbone.provenance.study import PROJECT
from fishbone.stages.report.params import Params, Plan

PARAMS = {"title": "Test", "comparable_accuracy": 0.01, "comparable_fcd": 0.1}
KEYS = {
    "id", "paper", "statement", "published", "quantity", "measured", "ci95", "seeds", "setting", "verdict", "why",
    "artefacts",
}  # fmt: skip


def run(*arguments):
    return CliRunner().invoke(
        cli, [str(argument) for argument in arguments], standalone_mode=False, catch_exceptions=False
    )


def report(files, out, **changes):
    return run("report", *files, "--params", json.dumps(PARAMS | changes), "--study-params", "{}", "--out", out)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def files(tmp_path):
    return [file.relative_to(tmp_path) for file in small_study.everything(tmp_path / "results/quick")]


def test_a_whole_study_gives_the_files_that_the_workflow_expects(files, tmp_path):
    report(files, "results/quick/report")
    stages = ("train", "prune", "federate", "gan", "export", "bench")
    assert set(contents(tmp_path / "results/quick/report")) == {
        "claims.json", "page.html", *(f"tables/{stage}.csv" for stage in stages),
        *(f"figures/{stage}.svg" for stage in stages if stage != "export"),
    }  # fmt: skip


def test_the_same_files_in_any_order_give_the_same_bytes(files, tmp_path):
    report(files, "results/quick/report")
    first = contents(tmp_path / "results/quick/report")
    report(files[::-1], "results/quick/report")
    assert contents(tmp_path / "results/quick/report") == first


def test_claims_have_the_agreed_keys_and_artefacts_that_exist(files, tmp_path):
    report(files, "results/quick/report")
    claims = json.loads((tmp_path / "results/quick/report/claims.json").read_text())
    assert all(set(claim) == KEYS for claim in claims)
    assert {claim["verdict"] for claim in claims} <= {"holds", "fails", "not tested"}
    assert len({claim["id"] for claim in claims}) == len(claims)
    tested = [claim for claim in claims if claim["measured"] is not None]
    assert len(tested) == 8
    assert all((tmp_path / artefact).is_file() for claim in tested for artefact in claim["artefacts"])


def test_a_study_of_some_stages_has_their_sections_only(files, tmp_path):
    few = [file for file in files if file.parts[2] in ("prepare", "train")]
    report(few, "out")
    assert set(contents(tmp_path / "out")) == {"claims.json", "page.html", "tables/train.csv", "figures/train.svg"}
    claims = json.loads((tmp_path / "out/claims.json").read_text())
    assert {claim["verdict"] for claim in claims} == {"not tested"}
    page = (tmp_path / "out/page.html").read_text()
    assert 'id="train"' in page
    assert 'id="prune"' not in page


def test_one_seed_is_reported_without_intervals(tmp_path):
    root = tmp_path / "results/one"
    methods = ("fls", "obs")
    report([small_study.prune(root, method, 4, {"0.95": 0.8}) for method in methods], "out")
    claims = {claim["id"]: claim for claim in json.loads((tmp_path / "out/claims.json").read_text())}
    claim = claims["fls-over-obs-95@digits"]
    assert (claim["verdict"], claim["ci95"], claim["why"]) == ("not tested", None, "One seed gives no interval.")


def test_margins_come_from_the_parameters(files, tmp_path):
    report(files, "strict", comparable_fcd=0.0)
    claims = {claim["id"]: claim for claim in json.loads((tmp_path / "strict/claims.json").read_text())}
    assert claims["fsl-gan-equals-centralised@digits"]["verdict"] != "holds"


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_wrong_study_parameters_are_refused_before_anything_is_written(files, tmp_path, text):
    with pytest.raises(InputError, match="--study-params"):
        run("report", *files, "--params", json.dumps(PARAMS), "--study-params", text, "--out", "out")
    assert not (tmp_path / "out").exists()


def test_no_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="no files"):
        report([], "out")


def test_plan_is_the_block_itself():
    assert Plan(**PARAMS).model_dump() == Params(**PARAMS).model_dump() == PARAMS


@pytest.fixture
def project(tmp_path):
    for name in PROJECT:
        (tmp_path / name).touch()


def test_claims_are_printed_as_a_table_and_as_json(files, tmp_path, project):
    report(files, "results/quick/report")
    shown = run("claims", "--study", "quick").output
    measured = next(line for line in shown.splitlines() if "At 95 % sparsity FLS is more accurate than OBS" in line)
    assert "84 % against 60 %: +24 points" in measured
    assert "digits" in measured
    assert re.search(r"\+\d+\.\d\d points \[\d+\.\d\d, \d+\.\d\d\]", measured)
    assert "holds" in measured
    claims = json.loads(run("claims", "--study", "quick", "--json").output)
    assert claims == json.loads((tmp_path / "results/quick/report/claims.json").read_text())


def test_claims_without_a_report_say_how_to_make_one(project):
    with pytest.raises(InputError, match="fishbone reproduce --study none"):
        run("claims", "--study", "none")
