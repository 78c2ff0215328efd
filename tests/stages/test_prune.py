import json
import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from killing import hashes, kill_when, run

from fishbone.data.dataset import load_dataset, save_dataset
from fishbone.errors import InputError
from fishbone.files import read_json, read_tensors, sha256
from fishbone.nn.evaluate import evaluate
from fishbone.nn.models import build, load_model, save_model, sidecar
from fishbone.seeding import numpy_generator
from fishbone.stages.prune import command

PARAMS = {
    "sparsities": [0.4, 0.7, 0.85],
    "steps_per_halving": 2,
    "gammas": [0.01, 0.0001],
    "tuning_sparsities": [0.5, 0.85],
    "curvature_images": 24,
    "recalibration_images": 40,
    "padding": 1,
    "flip": False,
    "solver_iterations": 50,
    "solver_tolerance": 0.001,
    "obs": {"block": 32, "refine_every": 1},
    "fls": {
        "refine_every": 2,
        "first_steps": 6,
        "later_steps": 3,
        "learning_rate": 0.001,
        "directions": 4,
        "batch": 8,
        "held_out": 8,
        "precondition": True,
        "weights": "all",
    },
    "threads": 1,
}
STEPS = 5
METHODS = pytest.mark.parametrize("method", ["fls", "obs", "magnitude"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(weights, data set) of a small network on three kinds of stripes."""
    folder = tmp_path_factory.mktemp("trained")
    draw = numpy_generator(0, "stripes")
    labels = draw.integers(0, 3, 240)
    images = draw.integers(0, 120, (240, 8, 8, 1)).astype("uint8")
    for image, label in zip(images, labels, strict=True):
        image[:, 2 * label : 2 * label + 3] += 100
    order = draw.permutation(240)
    save_dataset(
        folder / "stripes.npz", images=images, labels=labels, train=order[:160], validation=order[160:200],
        test=order[200:], class_names=["a", "b", "c"],
    )  # fmt: skip
    dataset = load_dataset(folder / "stripes.npz")
    architecture = {"name": "resnet", "depth": 8, "width": 4, "channels": 1, "classes": 3}
    model = build(architecture, 0)
    inputs, targets = dataset.split("train")
    optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model.train()
    for _ in range(15):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), targets).backward()
        optimiser.step()
    save_model(folder / "model.safetensors", model.eval(), sidecar(architecture, dataset))
    return folder / "model.safetensors", folder / "stripes.npz"


def arguments(trained, out, method="fls", **changes) -> list[str]:
    model, data = trained
    return [
        "--method", method, "--model", str(model), "--data", str(data), "--seed", "0",
        "--params", json.dumps(PARAMS | changes), "--out", str(out),
    ]  # fmt: skip


def prune(trained, out, method="fls", **changes) -> None:
    result = CliRunner().invoke(command, arguments(trained, out, method, **changes), standalone_mode=False)
    if result.exception:
        raise result.exception


@METHODS
def test_every_sparsity_is_written_exactly_and_metrics_are_what_the_files_give(trained, tmp_path, method):
    prune(trained, tmp_path, method)
    dataset, metrics = load_dataset(trained[1]), read_json(tmp_path / "metrics.json")
    dense, _ = load_model(trained[0])
    for sparsity in PARAMS["sparsities"]:
        model, description = load_model(tmp_path / f"{sparsity}.safetensors")
        masks, _ = read_tensors(tmp_path / f"{sparsity}.mask.safetensors")
        weights = model.state_dict()
        size, gone = (sum(int(f(m)) for m in masks.values()) for f in (torch.numel, lambda m: (~m).sum()))
        assert gone == math.floor(sparsity * size)
        assert metrics[f"sparsity/{sparsity}"] == gone / size
        assert all(torch.count_nonzero(weights[name][~mask]) == 0 for name, mask in masks.items())
        assert not {"conv1.weight", "fc.weight", "fc.bias"} & masks.keys()
        assert all(torch.equal(weights[name], dense.state_dict()[name]) for name in ("conv1.weight", "fc.weight"))
        assert description["parent"] == sha256(trained[0])
        assert metrics[f"test_accuracy/{sparsity}"] == evaluate(model, *dataset.split("test"))["accuracy"]
        assert metrics[f"validation_accuracy/{sparsity}"] == evaluate(model, *dataset.split("validation"))["accuracy"]
        assert 0 <= metrics[f"test_accuracy_without_recalibration/{sparsity}"] <= 1
    assert metrics["dense_test_accuracy"] == evaluate(dense, *dataset.split("test"))["accuracy"] > 0.8
    rows = (tmp_path / "history.csv").read_text().splitlines()
    assert rows[0].startswith("step,sparsity,validation_accuracy_without_recalibration,predicted_loss,residual")
    assert len(rows) == 1 + STEPS


def test_damping_is_chosen_on_validation_from_the_same_candidates(trained, tmp_path):
    for method in ("fls", "obs"):
        prune(trained, tmp_path / method, method)
        metrics = read_json(tmp_path / method / "metrics.json")
        scores = {g: metrics[f"validation_accuracy_by_gamma/{g}"] for g in PARAMS["gammas"]}
        assert scores[metrics["gamma"]] == max(scores.values())
    assert metrics.keys() >= {"gamma"}


def test_learning_is_logged_and_does_not_raise_the_auxiliary_loss(trained, tmp_path):
    prune(trained, tmp_path)
    metrics = read_json(tmp_path / "metrics.json")
    assert metrics["auxiliary_loss_end"] <= metrics["auxiliary_loss_start"]
    header, *rows = (line.split(",") for line in (tmp_path / "history.csv").read_text().splitlines())
    refined = [row[header.index("auxiliary_loss_end")] != "" for row in rows]
    assert refined == [step % PARAMS["fls"]["refine_every"] == 0 for step in range(len(rows))]


@METHODS
def test_a_killed_run_resumes_to_the_same_bytes(trained, tmp_path, method):
    whole, resumed, checkpoint = tmp_path / "whole", tmp_path / "resumed", tmp_path / "progress.safetensors"
    prune(trained, whole, method)
    again = ["prune", *arguments(trained, resumed, method), "--checkpoint", str(checkpoint)]
    kill_when(again, lambda: checkpoint.exists())
    assert not resumed.exists()
    state = read_tensors(checkpoint)[1]["state"]
    assert 0 < len(state["history"]) < STEPS
    run(again)
    assert hashes(resumed) == hashes(whole)
    assert not checkpoint.exists()


def test_wrong_input_is_named_before_any_work(trained, tmp_path):
    bad = {
        "sparsities should ascend": {"sparsities": [0.7, 0.4]},
        "less than 1": {"sparsities": [0.4, 1.0]},
        "curvature_images: more images": {"curvature_images": 161},
        "fls.held_out: more images": {"fls": PARAMS["fls"] | {"held_out": 24}},
    }
    for message, change in bad.items():
        with pytest.raises(InputError, match=message):
            prune(trained, tmp_path / "out", **change)
    assert not (tmp_path / "out").exists()


def test_other_data_than_the_network_was_trained_on_is_refused(trained, tmp_path):
    with np.load(trained[1]) as file:
        arrays = {name: file[name] for name in ("images", "labels", "train", "validation", "test", "class_names")}
    save_dataset(tmp_path / "other.npz", **arrays | {"labels": arrays["labels"][::-1].copy()})
    with pytest.raises(InputError, match="trained on other data"):
        prune((trained[0], tmp_path / "other.npz"), tmp_path / "out")
