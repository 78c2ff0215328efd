import ast
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto
from small_onnx import save_classifier, save_images

from fishbone.bench import agent
from fishbone.bench.devices.local import run_local
from fishbone.bench.procedure import Procedure
from fishbone.bench.summary import summarise
from fishbone.bench.task import subset, write_task
from fishbone.data.dataset import load_dataset
from fishbone.files import write_json

QUICK = Procedure(
    threads=1, seconds=0.08, sittings=8, block_ms=1.0, warmup_seconds=0.0, cold_runs=1, images=20, budget_seconds=60.0
)
ALLOWED = {"numpy", "onnxruntime"}
ONLY_ALLOWED = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in sys.stdlib_module_names | {"numpy", "onnxruntime"}:
            raise ImportError(f"{name} is not allowed")

sys.meta_path.insert(0, Block())
import runpy
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load_dataset(save_images(tmp_path_factory.mktemp("data") / "d.npz"))


@pytest.fixture(scope="module")
def measured(tmp_path_factory, dataset):
    """Two good models, one that nothing can run, one cut short after the task was written."""
    folder = tmp_path_factory.mktemp("task")
    models = [
        save_classifier(folder / "good.onnx"),
        save_classifier(folder / "bytes.onnx", batch=7, kind=TensorProto.UINT8),
        save_classifier(folder / "odd.onnx", operator="Unheard"),
        save_classifier(folder / "short.onnx", seed=2),
    ]
    task = write_task(models, 0, dataset, QUICK, folder)
    sent = folder / "3.onnx"
    sent.write_bytes(sent.read_bytes()[:-10])
    return run_local(task.file, 60), task


def test_agent_imports_only_the_standard_library_numpy_and_onnxruntime():
    tree = ast.parse(Path(agent.__file__).read_text())
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.split(".")[0] for name in names} - sys.stdlib_module_names == ALLOWED


def test_agent_runs_alone_where_nothing_else_can_be_imported(tmp_path):
    task = write_task([save_classifier(tmp_path / "m.onnx")], 0, None, replace(QUICK, cold_runs=0), tmp_path)
    copy = tmp_path / "elsewhere.py"
    copy.write_bytes(Path(agent.__file__).read_bytes())
    done = subprocess.run(
        [sys.executable, "-I", "-c", ONLY_ALLOWED, copy, task.file], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(agent.BEGIN)
    assert done.stdout.endswith(agent.END + "\n")
    document = json.loads(done.stdout.split(agent.BEGIN)[1].split(agent.END)[0])
    assert document["models"][0]["status"] == "ok"


def test_broken_models_get_a_status_and_the_others_are_measured(measured):
    outcome, _ = measured
    assert outcome.status == "ok"
    assert outcome.measurement.complete
    found = {model.name: model for model in outcome.measurement.models}
    statuses = {name: model.status for name, model in found.items()}
    assert statuses == {"good": "ok", "bytes": "ok", "odd": "unsupported", "short": "hash_mismatch"}
    assert "Unheard" in found["odd"].message
    assert not found["odd"].blocks_ns
    assert not found["odd"].cold


def test_accuracy_is_that_of_the_classes_computed_by_hand(measured, dataset):
    outcome, task = measured
    chosen = subset(dataset, "test", QUICK.images, QUICK.seed)
    for index, inputs in enumerate((dataset.normalise(dataset.images[chosen]), dataset.images[chosen])):
        session = ort.InferenceSession(task.file.parent / task.models[index]["file"])
        inputs = inputs if index == 0 else inputs.transpose(0, 3, 1, 2)
        size = 7 if index else 1
        padded = np.concatenate([inputs, inputs[:size]])
        logits = [session.run(None, {"image": padded[i : i + size]})[0] for i in range(0, len(inputs), size)]
        correct = int((np.concatenate(logits)[: len(inputs)].argmax(1) == dataset.labels[chosen]).sum())
        score = outcome.measurement.models[index].accuracy
        assert (score.correct, score.images) == (correct, len(chosen))


def test_images_are_prepared_by_the_statistics_of_the_task(dataset):
    mean, std = dataset.mean.tolist(), dataset.std.tolist()
    pixels = dataset.images.transpose(0, 3, 1, 2)
    assert np.array_equal(agent.prepare(dataset.images, mean, std, np.float32), dataset.normalise(dataset.images))
    assert np.allclose(agent.prepare(dataset.images, [0.0], [1 / 255], np.float32), pixels, atol=1e-3)
    assert np.array_equal(agent.prepare(dataset.images, None, None, np.uint8), pixels)


def test_every_sitting_and_round_has_every_model_and_the_control(measured):
    measurement = measured[0].measurement
    arms = [measurement.models[0].blocks_ns, measurement.models[1].blocks_ns, measurement.control_blocks_ns]
    shapes = [[len(sitting) for sitting in arm] for arm in arms]
    assert shapes[0] == shapes[1] == shapes[2]
    assert len(shapes[0]) == QUICK.sittings
    assert min(shapes[0]) >= 1
    assert all(block for arm in arms for sitting in arm for block in sitting)


def test_cold_start_is_measured_in_a_process_of_its_own(measured):
    for model in measured[0].measurement.models[:2]:
        (run,) = model.cold
        assert min(run.import_ns, run.load_ns, run.first_run_ns) > 0
        if Path("/proc/self/status").exists():
            assert run.peak_rss_bytes >= run.import_rss_bytes > 10e6


def test_operators_are_those_of_the_optimised_graph(measured):
    found = {entry.operator: entry for entry in measured[0].measurement.models[0].operators}
    assert "Relu" not in found, "the optimiser fuses it into the convolution"
    assert sum(entry.share for entry in found.values()) == pytest.approx(1)
    assert {entry.provider for entry in found.values()} == {"CPUExecutionProvider"}


def test_what_is_sent_names_no_place_person_or_time(measured):
    import getpass
    import platform

    outcome, _ = measured
    text = outcome.measurement.model_dump_json(exclude={"models": {"__all__": {"blocks_ns"}}})
    for word in (platform.node(), getpass.getuser() if Path("/etc/passwd").exists() else "", "/tmp", "/home"):
        assert not word or not re.search(rf"\b{re.escape(word)}\b", text), word
    assert not re.search(r"20\d\d-\d\d-\d\d|[\"\s:](/[\w.-]+){2,}", text)


def test_a_changed_network_fails_parity_on_the_device(tmp_path, dataset):
    model = save_classifier(tmp_path / "m.onnx")
    task = write_task([model], 0, dataset, replace(QUICK, cold_runs=0), tmp_path)
    with np.load(tmp_path / "vectors.npz") as vectors:
        arrays = dict(vectors)
    arrays["0.outputs"] = arrays["0.outputs"] + 0.01
    np.savez(tmp_path / "vectors.npz", **arrays)
    from fishbone.export.facts import file_facts

    result = summarise("d", "local", run_local(task.file, 60), task, [file_facts(model)], None)
    assert result.models[0].status == "parity_fail"
    assert result.models[0].latency is not None


def test_when_the_budget_ends_what_there_is_is_reported(tmp_path, dataset):
    models = [save_classifier(tmp_path / f"{name}.onnx", seed=ord(name)) for name in "ab"]
    task = write_task(models, 0, dataset, replace(QUICK, budget_seconds=0.01), tmp_path)
    outcome = run_local(task.file, 60)
    assert outcome.status == "ok"
    assert not outcome.measurement.complete


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError(), "oom"),
        (RuntimeError("std::bad_alloc"), "oom"),
        (RuntimeError("Load of /home/someone/m.onnx failed at C:\\Users\\me\\m.cc"), "unsupported"),
    ],
)
def test_failures_are_classified_and_lose_their_paths(error, status):
    record = {}
    with agent.failures(record):
        raise error
    assert record["status"] == status
    assert "someone" not in record["message"]
    assert "Users" not in record["message"]


@pytest.mark.parametrize(("code", "status"), [("9", "oom"), ("4", "crashed")])
def test_a_cold_start_that_is_killed_takes_only_its_model_down(tmp_path, monkeypatch, code, status):
    script = tmp_path / "dies.py"
    script.write_text(f"import os; os.kill(os.getpid(), {code})")
    monkeypatch.setattr(agent, "AGENT", script)
    write_json(tmp_path / "task.json", {})
    found = agent.child(tmp_path / "task.json", ["--cold", "0"], 10)
    assert found["status"] == status
    assert "run" not in found


def test_a_cold_start_that_hangs_is_a_timeout(tmp_path, monkeypatch):
    script = tmp_path / "hangs.py"
    script.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(agent, "AGENT", script)
    assert agent.child(tmp_path / "task.json", ["--cold", "0"], 0.3)["status"] == "timeout"


def test_models_take_turns_in_another_order_each_round_and_the_same_one_each_time(monkeypatch):
    def turns():
        taken = []
        feeds = {index: {} for index in range(3)}
        records = [{"name": str(index), "status": "ok", "message": None, "blocks_ns": []} for index in range(3)]
        ticks = iter(range(1000))
        monkeypatch.setattr(agent.time, "monotonic", lambda: next(ticks))
        monkeypatch.setattr(agent, "open_model", lambda model, _task: model["file"])
        monkeypatch.setattr(agent, "warm_up", lambda *_: 1)
        monkeypatch.setattr(agent, "timed_block", lambda file, *_: (taken.append(file), ([1], 1))[1])
        models = [{"file": f"m{index}"} for index in range(3)]
        task = {"models": models, "baseline": 0, "threads": 1, "seconds": 10.0, "sittings": 2, "seed": 0}
        control, _, full = agent.warm_rounds(task, feeds, records, deadline=500)
        assert full
        assert len(control) == 2
        return [tuple(taken[start : start + 4]) for start in range(0, len(taken), 4)]

    first = turns()
    monkeypatch.undo()
    assert all(sorted(turn) == ["m0", "m0", "m1", "m2"] for turn in first), "the baseline twice, the others once"
    assert len(set(first)) > 3
    assert turns() == first
