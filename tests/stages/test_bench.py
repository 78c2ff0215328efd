import io
import json
import platform
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner
from rich.console import Console
from small_onnx import STATED, save_classifier, save_images

from fishbone.bench.devices import kinds
from fishbone.bench.devices.outcome import Outcome
from fishbone.bench.procedure import Procedure
from fishbone.bench.results import DeviceResult, Operator
from fishbone.bench.table import int8_share, table, together
from fishbone.cli import cli
from fishbone.errors import InputError
from fishbone.stages.bench.params import Params

QUICK = {
    "threads": 1, "seconds": 0.1, "sittings": 8, "block_ms": 1.0, "warmup_seconds": 0.0,
    "sustained_seconds": 0.4, "cold_runs": 1, "images": 20, "budget_seconds": 60.0, "sparse": True, "seed": 3,
}  # fmt: skip
WITHOUT_TORCH = "import sys; sys.modules.update(torch=None, safetensors=None); from fishbone.cli import main; main()"


def bench(*arguments):
    return CliRunner().invoke(cli, ["bench", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    save_classifier(folder / "a.onnx", metadata=STATED)
    save_classifier(folder / "b.onnx", seed=1, metadata=STATED)
    save_classifier(folder / "odd.onnx", operator="Unheard")
    save_images(folder / "d.npz")
    (folder / "devices.yaml").write_text("here: {kind: local}\nthere: {kind: local}\n")
    return folder


@pytest.fixture(scope="module")
def written(folder):
    """The command as the pipeline calls it, where PyTorch is not installed."""
    out = folder / "here.json"
    models = [folder / f"{name}.onnx" for name in ("a", "b", "odd")]
    options = {
        "devices": folder / "devices.yaml", "device": "here", "data": folder / "d.npz", "params": json.dumps(QUICK),
        "out": out, "baseline": models[1], "metrics": folder / "metrics.json",
    }  # fmt: skip
    flags = [text for key, value in options.items() for text in (f"--{key}", value)]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "bench", *models, *flags], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return out.read_text(), done.stdout


def test_result_is_of_the_schema_and_complete(written):
    result = DeviceResult.model_validate_json(written[0])
    assert (result.device, result.kind, result.status, result.complete) == ("here", "local", "ok", True)
    assert [(model.name, model.status) for model in result.models] == [("a", "ok"), ("b", "ok"), ("odd", "unsupported")]
    assert result.procedure == QUICK
    assert result.control is not None
    assert result.noise_floor == max(abs(result.control.low - 1), abs(result.control.high - 1))


def test_the_baseline_without_rest_is_told(written):
    result = DeviceResult.model_validate_json(written[0])
    assert len(result.sustained) == 2
    assert all(window.runs > 10 for window in result.sustained)
    first, last = (window.median_ns for window in result.sustained)
    assert result.drift == pytest.approx(last / first - 1)
    assert "Without rest: after 0.4 s b takes" in written[1]


def test_int8_share_counts_what_computes_in_8_bits():
    shares = {"QLinearConv": 0.5, "QGemm": 0.2, "ConvInteger": 0.1, "QuantizeLinear": 0.1, "Conv": 0.1}
    operators = [Operator(operator=name, provider="CPU", nodes=1, share=share) for name, share in shares.items()]
    assert int8_share(operators) == pytest.approx(0.8)


def test_speedups_refer_to_the_chosen_baseline(written):
    result = DeviceResult.model_validate_json(written[0])
    assert result.baseline == "b"
    assert result.models[1].speedup is None
    found = result.models[0].speedup
    assert found.low <= found.median <= found.high


def test_every_measured_model_has_all_its_numbers(written):
    for model in DeviceResult.model_validate_json(written[0]).models[:2]:
        assert model.accuracy.images == 20
        assert model.accuracy.low <= model.accuracy.fraction <= model.accuracy.high
        assert model.latency.min_ns <= model.latency.p50_ns <= model.latency.p90_ns <= model.latency.p90_bound_ns
        assert model.latency.rounds == sum(map(len, model.rounds_ns))
        assert model.parity.relative < 1e-5
        assert len(model.cold) == 1
        assert model.operators


def test_result_holds_no_path_and_no_host_name(written):
    assert platform.node() not in written[0]
    assert not re.search(r'["\s:](/[\w.-]+){2,}', written[0])
    assert "/tmp" not in written[0]


def test_metrics_are_flat_numbers_of_what_was_measured(written, folder):
    result, flat = DeviceResult.model_validate_json(written[0]), json.loads((folder / "metrics.json").read_text())
    assert all(isinstance(value, int | float) for value in flat.values())
    assert flat["a/p50_ms"] == result.models[0].latency.p50_ns / 1e6
    assert (flat["a/speedup"], flat["b/speedup"]) == (result.models[0].speedup.median, 1)
    assert (flat["odd/ok"], flat["odd/bytes"]) == (0, result.models[2].facts.bytes)
    assert "odd/p50_ms" not in flat


def test_table_has_a_row_for_each_model_and_says_what_is_noise(written):
    text = written[1]
    assert re.search(r"^ a .* ok", text, re.M)
    assert re.search(r"^ b .* 1 \(baseline\).* ok", text, re.M)
    assert re.search(r"^ odd .*–.* unsupported", text, re.M)
    assert "Noise: b against itself is" in text
    assert "odd: " in text


def test_a_person_gets_the_documented_procedure_and_changes_one_value(folder, monkeypatch):
    seen = []
    monkeypatch.setattr(
        kinds, "run_local", lambda job, _: seen.append(json.loads(job.read_text())) or Outcome("timeout")
    )
    bench(folder / "a.onnx", "--threads", 2)
    bench(folder / "a.onnx", "--params", json.dumps(QUICK), "--seed", 9)
    assert {key: seen[0][key] for key in QUICK if key not in ("threads", "images")} == {
        key: getattr(Procedure(), key) for key in QUICK if key not in ("threads", "images")
    }
    assert seen[0]["threads"] == 2
    assert seen[0]["images"] is None
    assert (seen[1]["seconds"], seen[1]["seed"]) == (QUICK["seconds"], 9)


def test_a_device_that_fails_is_a_result_too(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(kinds, "run_local", lambda *_: Outcome("oom", "killed"))
    done = bench(folder / "a.onnx", folder / "b.onnx", "--out", tmp_path / "r.json")
    assert done.exit_code == 0
    result = DeviceResult.model_validate_json((tmp_path / "r.json").read_text())
    assert (result.status, [model.status for model in result.models]) == ("oom", ["oom", "oom"])
    assert result.models[0].facts.bytes == (folder / "a.onnx").stat().st_size
    assert "oom: killed" in done.output


def test_json_is_one_line_for_each_device(folder, monkeypatch):
    monkeypatch.setattr(kinds, "run_local", lambda *_: Outcome("timeout"))
    done = bench(folder / "a.onnx", "--devices", folder / "devices.yaml", "--json")
    assert [json.loads(line)["device"] for line in done.stdout.splitlines()] == ["here", "there"]


def test_incomplete_and_wrong_parameters_are_refused(folder):
    short = {key: value for key, value in QUICK.items() if key != "threads"}
    for arguments, match in [
        (["--params", json.dumps(short)], "threads: key is missing"),
        (["--seconds", "0"], "seconds.*greater than 0"),
        (["--baseline", folder / "b.onnx"], "not among the models"),
        (["--device", "phone"], "no such device"),
        (["--devices", folder / "devices.yaml", "--out", folder / "x.json"], "several devices"),
        (["--data", folder / "none.npz"], "missing"),
    ]:
        error = bench(folder / "a.onnx", *arguments).exception
        assert isinstance(error, InputError), arguments
        with pytest.raises(InputError, match=match):
            raise error


def test_documented_procedure_is_a_valid_block():
    assert Params.parse(vars(Procedure()), file="procedure").model_dump() == vars(Procedure())


def test_several_devices_come_into_one_table_and_one_page(folder, tmp_path):
    page = tmp_path / "page.html"
    options = ["--seconds", "0.05", "--sittings", "8", "--block-ms", "1", "--warmup-seconds", "0", "--cold-runs", "0"]
    done = bench(
        folder / "a.onnx", folder / "b.onnx", "--data", folder / "d.npz", "--devices", folder / "devices.yaml",
        "--html", page, *options,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    together = done.output.split("all devices")[1]
    assert "here (local)" in together
    assert "there (local)" in together
    assert len(re.findall(r"\d ms", together)) == 4
    text = page.read_text()
    assert text.count(">here</td>") == text.count(">there</td>") == 2
    assert "<svg" in text
    assert not re.search(r'(?:src|href)="(?!#)', text), "the page needs no other file"


def test_a_page_of_noise_has_a_table_and_no_figure(folder, tmp_path):
    page = tmp_path / "page.html"
    options = ["--seconds", "0.05", "--sittings", "8", "--block-ms", "1", "--warmup-seconds", "0", "--cold-runs", "0"]
    assert bench(folder / "a.onnx", "--html", page, *options).exit_code == 0
    assert "<table>" in page.read_text()
    assert "<svg" not in page.read_text()


def test_names_with_brackets_and_colons_are_shown_as_they_are(written):
    names = ("net[int8]", "a[/b]", "[red]x", "a:bug:b", "end\\")
    result = DeviceResult.model_validate_json(written[0])
    models = [result.models[0].model_copy(update={"name": name}) for name in names]
    result = result.model_copy(update={"device": "pi[/]:bug:", "models": models})
    console = Console(width=200, file=io.StringIO())
    console.print(table(result))
    console.print(together([result]))
    text = console.file.getvalue()
    assert all(text.count(name) == 2 for name in names), text
    assert text.count("pi[/]:bug: (local)") == 2
