import csv
import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fishbone.data.dataset import load_dataset, save_dataset
from fishbone.errors import InputError
from fishbone.federated.methods import METHODS as FEDERATED
from fishbone.nn.evaluate import evaluate
from fishbone.nn.models import build, load_model
from fishbone.stages.federate.command import command
from fishbone.stages.federate.params import METHODS as NAMES
from fishbone.stages.federate.params import Params, Plan

PARAMS = {
    "members": 6,
    "parties": 2,
    "horizontal_partition": "shards-2",
    "vertical_partition": "iid",
    "embedding": 8,
    "hidden": 16,
    "rounds": 6,
    "local_epochs": 2,
    "batch": 16,
    "learning_rate": {"hovefl": 0.3, "fedavg": 0.3, "centralised": 0.3},
    "server_learning_rate": "constant",
    "threads": 1,
}
METHODS = ["hovefl-4-2", "hovefl-0-6", "fedavg", "centralised"]
FILES = ("model.safetensors", "model.json", "metrics.json", "history.csv")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four classes of noisy 8x8 images, each bright in its own quarter."""
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 4
    images = rng.integers(0, 160, (400, 8, 8, 1))
    for i, label in enumerate(labels):
        images[i, 4 * (label // 2) :, 4 * (label % 2) :][:4, :4] += 60
    order = rng.permutation(400)
    path = tmp_path_factory.mktemp("data") / "quarters.npz"
    save_dataset(
        path, images=images, labels=labels, train=order[:240], validation=order[240:300], test=order[300:],
        class_names=list("abcd"),
    )  # fmt: skip
    return path


def arguments(data, out, method, checkpoint=None, seed=0, **changes):
    params = json.dumps(PARAMS | changes)
    keep = ["--checkpoint", str(checkpoint)] if checkpoint else []
    return ["--method", method, "--data", str(data), "--seed", str(seed), "--params", params, *keep, "--out", str(out)]


def federate(*args, **kwargs):
    result = CliRunner().invoke(command, arguments(*args, **kwargs), standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.output


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.mark.parametrize("method", METHODS)
def test_stage_trains_and_writes_what_the_report_reads(data, tmp_path, method):
    federate(data, tmp_path, method, tmp_path / "c.safetensors")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    with open(tmp_path / "history.csv") as file:
        history = list(csv.DictReader(file))
    model, sidecar = load_model(tmp_path / "model.safetensors")
    assert metrics["test_accuracy"] > 0.9
    assert evaluate(model, *load_dataset(data).split("test"))["loss"] == metrics["test_loss"]
    assert sidecar.architecture["name"] == "two_branch"
    assert sidecar.data.sha256 == load_dataset(data).digest
    assert [row["step"] for row in history] == list("123456")
    assert float(history[-1]["validation_accuracy"]) == metrics["validation_accuracy"]
    assert int(history[-1]["bytes"]) == metrics["bytes_horizontal"] + metrics["bytes_vertical"]
    assert metrics["rounds"] == 6
    assert not (tmp_path / "c.safetensors").exists()


def test_metrics_count_members_and_bytes(data, tmp_path):
    federate(data, tmp_path, "hovefl-4-2")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    parameters = sum(p.numel() for p in load_model(tmp_path / "model.safetensors")[0].parameters())
    assert (metrics["horizontal_devices"], metrics["vertical_groups"]) == (4, 2)
    assert metrics["training_samples"] == 240
    assert metrics["bytes_horizontal"] == 6 * 4 * 2 * 4 * parameters
    assert metrics["bytes_vertical_embeddings"] == 6 * 2 * 8 * 8 * 2 * 80
    assert metrics["bytes_vertical"] == metrics["bytes_vertical_embeddings"] + 6 * 2 * 2 * 4 * parameters


def test_centralised_run_sends_nothing_and_has_all_samples(data, tmp_path):
    federate(data, tmp_path, "centralised")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["bytes_horizontal"] == metrics["bytes_vertical"] == 0
    assert metrics["training_samples"] == 240


def test_same_seed_same_bytes_other_seed_other_bytes(data, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        federate(data, tmp_path / name, "hovefl-4-2", seed=seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a")["model.safetensors"] != contents(tmp_path / "c")["model.safetensors"]


def test_harmonic_server_rate_is_slower(data, tmp_path):
    for rate in ("constant", "harmonic"):
        federate(data, tmp_path / rate, "hovefl-4-2", server_learning_rate=rate)
    losses = {
        rate: json.loads((tmp_path / rate / "metrics.json").read_text())["test_loss"]
        for rate in ("constant", "harmonic")
    }
    assert losses["harmonic"] > 1.5 * losses["constant"]


def test_killed_run_resumes_to_the_same_bytes(data, tmp_path):
    method, rounds = "hovefl-4-2", 120
    checkpoint = tmp_path / "checkpoints" / "c.safetensors"
    program = [sys.executable, "-m", "fishbone", "federate"]
    victim = subprocess.Popen(
        [*program, *arguments(data, tmp_path / "killed", method, checkpoint, rounds=rounds)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
    )
    deadline = time.monotonic() + 120
    while not checkpoint.exists():
        assert victim.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    victim.stdout.close()
    assert not (tmp_path / "killed" / "metrics.json").exists()

    output = federate(data, tmp_path / "killed", method, checkpoint, rounds=rounds)
    assert "round 1:" not in output
    assert f"round {rounds}:" in output
    federate(data, tmp_path / "whole", method, rounds=rounds)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@pytest.mark.parametrize("method", ["hovefl-4-2", "centralised"])
def test_divergence_is_a_failure_that_names_the_learning_rate(data, tmp_path, method):
    field = rf"learning_rate\.{method.split('-')[0]}"
    with pytest.raises(InputError, match=rf"^{field}: training diverged in round 1, .*Lower it"):
        federate(data, tmp_path, method, learning_rate=dict.fromkeys(PARAMS["learning_rate"], 1e30))
    assert not (tmp_path / "metrics.json").exists()


def test_a_network_whose_test_loss_is_not_finite_is_not_written(data, tmp_path, monkeypatch):
    test = len(load_dataset(data).test)

    def spoilt(model, inputs, labels):
        found = evaluate(model, inputs, labels)
        return found | {"loss": math.nan} if len(labels) == test else found

    monkeypatch.setattr("fishbone.stages.federate.job.evaluate", spoilt)
    with pytest.raises(InputError, match=r"^learning_rate\.fedavg: .*: the test loss is nan"):
        federate(data, tmp_path / "out", "fedavg")
    assert not any((tmp_path / "out").glob("*.*"))


def test_checkpoint_of_other_work_is_ignored(data, tmp_path, monkeypatch):
    checkpoint = tmp_path / "c.safetensors"
    monkeypatch.setattr("fishbone.stages.federate.job.save_model", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        federate(data, tmp_path / "other", "hovefl-4-2", checkpoint)
    assert checkpoint.exists()
    monkeypatch.undo()
    assert "round 1:" in federate(data, tmp_path / "a", "hovefl-2-4", checkpoint)


@pytest.mark.parametrize("method", ["hovefl", "hovefl-a-b", "hovefl-4", "hovefl--1-7", "FedAvg", "fedavg-6", ""])
def test_nonsense_as_method_is_an_input_error_that_says_what_to_give(data, tmp_path, method):
    with pytest.raises(InputError, match=r"--method: no such method .*Give hovefl-H-V"):
        federate(data, tmp_path, method)


def test_a_mix_of_another_size_is_an_input_error(data, tmp_path):
    with pytest.raises(InputError, match=r"--method: wrong number of members .*hovefl-4-3.*`members`, 6"):
        federate(data, tmp_path, "hovefl-4-3")


def test_more_members_than_samples_is_an_input_error(data, tmp_path):
    with pytest.raises(InputError, match="cannot fill"):
        federate(data, tmp_path, "fedavg", members=500)


def test_more_parties_than_columns_is_an_input_error(data, tmp_path):
    with pytest.raises(InputError, match=r"parties.*9.*at most 8"):
        federate(data, tmp_path, "fedavg", parties=9)


def test_parameters_name_every_method():
    assert list(NAMES) == list(FEDERATED)


def test_plan_knows_its_methods_and_their_sizes():
    lists = {"datasets": ["digits"], "seeds": [0]}
    Plan.parse(PARAMS | lists | {"methods": METHODS}, file="params.yaml")
    for methods, message in ((["hovefl-12-6"], "hovefl-12-6 should have as many members"), (["fedprox"], "fedprox")):
        with pytest.raises(InputError, match=message):
            Plan.parse(PARAMS | lists | {"methods": methods}, file="params.yaml")


@pytest.mark.parametrize("spec", ["shards", "shards-0", "Dirichlet-1"])
def test_partition_is_checked_with_the_parameters(spec):
    with pytest.raises(InputError, match="horizontal_partition"):
        Params.parse(PARAMS | {"horizontal_partition": spec}, file="params.yaml")


def test_untrained_network_is_the_letters_and_knows_nothing():
    architecture = {"name": "two_branch", "shape": [1, 28, 28], "classes": 10, "embedding": 64, "hidden": 500}
    model = build(architecture | {"parties": 2}, seed=0)
    # 2 · (392·64 + 64) + (128·500 + 500) + (500·10 + 10), the published MNIST network.
    assert sum(p.numel() for p in model.parameters()) == 119_814
    inputs = torch.randn(1000, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    loss = evaluate(model, inputs, torch.arange(1000) % 10)["loss"]
    assert loss == pytest.approx(math.log(10), abs=0.03)
