import json
import math
import pydoc
from typing import get_args

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from holding import other_process
from killing import hashes, kill_when, run
from stripes import save_stripes

from fishbone.data.dataset import load_dataset, save_dataset
from fishbone.errors import InputError
from fishbone.files import read_json, read_tensors, sha256
from fishbone.nn.evaluate import evaluate
from fishbone.nn.models import build, load_model, save_model
from fishbone.nn.sidecar import Sidecar
from fishbone.pruning import methods
from fishbone.pruning.judge import Judge
from fishbone.pruning.networks import load_network
from fishbone.stages.prune import command
from fishbone.stages.prune_plan import Method

PARAMS = {
    "sparsities": [0.4, 0.7, 0.85],
    "steps_per_halving": 2,
    "gammas": [0.01, 0.0001],
    "tuning_sparsities": [0.5, 0.85],
    "scope": "global",
    "curvature_images": 24,
    "fisher": "exact",
    "temperature": 1.0,
    "draw": "stratified",
    "judging_images": 40,
    "recalibration_images": 40,
    "padding": 1,
    "flip": False,
    "precision": "fp32",
    "solver_iterations": 50,
    "solver_tolerance": 0.001,
    "block": 32,
    "fls": {
        "form": "outer",
        "start": "activations",
        "first_steps": 6,
        "later_steps": 3,
        "learning_rate": 0.001,
        "directions": 4,
        "drawn_from": "noise",
        "batch": 8,
        "held_out": 8,
        "precondition": True,
        "weights": "all",
        "renew": False,
    },
    "retraining": {
        "steps_per_halving": 2,
        "epochs": 1,
        "batch": 40,
        "learning_rate": 0.05,
        "warmup": 0.3,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "precision": "fp32",
        "device": "cpu",
    },
    "threads": 1,
}
STEPS = 5
METHODS = ["fls", "obs", "magnitude", "fls-assimilated"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(weights, data set) of a small network on three kinds of stripes."""
    folder = tmp_path_factory.mktemp("trained")
    dataset = load_dataset(save_stripes(folder / "stripes.npz"))
    architecture = {"name": "resnet", "depth": 8, "width": 4, "channels": 1, "classes": 3}
    model = build(architecture, 0)
    inputs, targets = dataset.split("train")
    optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model.train()
    for _ in range(15):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), targets).backward()
        optimiser.step()
    save_model(folder / "model.safetensors", model.eval(), Sidecar.of(architecture, dataset))
    return folder / "model.safetensors", folder / "stripes.npz"


def arguments(trained, out, method="fls", **changes) -> list[str]:
    model, data = trained
    return [
        "--method", method, "--model", str(model), "--data", str(data), "--seed", "0",
        "--params", json.dumps(PARAMS | changes), "--out", str(out),
    ]  # fmt: skip


def prune(trained, out, method="fls", **changes) -> None:
    invoke(arguments(trained, out, method, **changes))


def invoke(words: list[str]) -> None:
    result = CliRunner().invoke(command, words, standalone_mode=False)
    if result.exception:
        raise result.exception


@pytest.mark.parametrize("method", METHODS)
def test_every_sparsity_is_written_exactly_and_metrics_are_what_the_files_give(trained, tmp_path, method):
    prune(trained, tmp_path, method)
    dataset, metrics = load_dataset(trained[1]), read_json(tmp_path / "metrics.json")
    dense, _ = load_model(trained[0])
    for sparsity in PARAMS["sparsities"]:
        network, sidecar = load_network(tmp_path / "networks.safetensors", sparsity)
        model, masks, weights = network.model, network.masks, network.model.state_dict()
        size, gone = (sum(int(f(m)) for m in masks.values()) for f in (torch.numel, lambda m: (~m).sum()))
        assert gone == math.floor(sparsity * size)
        assert metrics[f"sparsity/{sparsity}"] == gone / size
        assert all(torch.count_nonzero(weights[name][~mask]) == 0 for name, mask in masks.items())
        assert not {"conv1.weight", "fc.weight", "fc.bias"} & masks.keys()
        assert all(torch.equal(weights[name], dense.state_dict()[name]) for name in ("conv1.weight", "fc.weight"))
        assert sidecar.parent == sha256(trained[0])
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


def test_learning_is_logged_at_every_refinement(trained, tmp_path):
    prune(trained, tmp_path, "fls-assimilated")
    metrics = read_json(tmp_path / "metrics.json")
    assert -0.5 < metrics["auxiliary_loss_end"] <= metrics["auxiliary_loss_start"] < 0.5
    header, *rows = (line.split(",") for line in (tmp_path / "history.csv").read_text().splitlines())
    refined = [row[header.index("auxiliary_loss_end")] != "" for row in rows]
    assert refined == [True] * STEPS


@pytest.mark.parametrize(
    "method", ["fls", "obs", "fls-start", "fls-assimilated", "fls-gradual"]
)  # magnitude is too fast to be killed
def test_a_killed_run_resumes_to_the_same_bytes(trained, tmp_path, method):
    whole, resumed, checkpoint = tmp_path / "whole", tmp_path / "resumed", tmp_path / "progress.safetensors"
    prune(trained, whole, method)
    again = ["prune", *arguments(trained, resumed, method), "--checkpoint", str(checkpoint)]
    kill_when(again, lambda: checkpoint.exists())
    assert not resumed.exists()
    state = read_tensors(checkpoint)[1]["state"]
    assert 0 < len(state["history"]) < STEPS
    run(again)
    same = [{name: value for name, value in hashes(out).items() if name != "cost.json"} for out in (resumed, whole)]
    assert same[0] == same[1]
    assert set(read_json(resumed / "cost.json").values()) == {None}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["resumed", "whole"]


def test_progress_without_the_copies_made_on_the_way_is_not_resumed(trained, tmp_path):
    again = ["prune", *arguments(trained, tmp_path / "out"), "--checkpoint", str(tmp_path / "progress.safetensors")]
    kill_when(again, lambda: any(tmp_path.glob(".kept-*/0.4.safetensors")))
    for copy in tmp_path.glob(".kept-*/*"):
        copy.unlink()
    run(again)
    assert set(read_json(tmp_path / "out" / "metrics.json")) > {"test_accuracy/0.4", "test_accuracy/0.85"}


def test_magnitude_has_no_damping_to_choose(trained, tmp_path):
    for method in ("magnitude", "magnitude-gradual"):
        prune(trained, tmp_path / method, method)
        assert not any("gamma" in key for key in read_json(tmp_path / method / "metrics.json"))


def test_precision_of_judging_does_not_touch_what_is_reported(trained, tmp_path):
    for precision in ("fp32", "bf16"):
        prune(trained, tmp_path / precision, "fls-start", precision=precision, gammas=[0.01])
    found = [read_json(tmp_path / precision / "metrics.json") for precision in ("fp32", "bf16")]
    first, second = ({k: v for k, v in one.items() if "by_gamma" not in k} for one in found)
    assert first == second


def test_methods_of_the_stage_are_those_of_the_library():
    assert set(get_args(Method)) == set(methods.METHODS | methods.VARIANTS)


def test_cost_is_measured_and_backward_passes_are_counted(trained, tmp_path):
    for method, passes in (("fls-start", 24 * 3), ("magnitude", 0)):
        prune(trained, tmp_path / method, method, gammas=[0.01])  # none held out, as nothing is learnt
        cost = read_json(tmp_path / method / "cost.json")
        assert (
            cost["backward_passes"] == 4 * passes
        )  # two passes in trials and two in earnest, a row for each of three classes
        assert 0 < cost["surgery_seconds"] < cost["seconds"]
        assert all(type(cost[name]) is int for name in ("peak_bytes", "surgery_peak_bytes"))


def test_the_draw_of_the_parameters_decides_which_images_are_looked_at(trained, tmp_path):
    dataset, judged = load_dataset(trained[1]), {}
    for draw in ("stratified", "as_recorded"):
        prune(trained, tmp_path / draw, "magnitude", draw=draw)
        judge = Judge.of(dataset, dataset.split("train")[0], images=10, drawn=draw, precision="fp32", seed=0)
        judged[draw] = judge.few[1].tolist()
    assert judged["as_recorded"] == dataset.split("validation")[1][:10].tolist() != judged["stratified"]
    # Other recalibration images, other statistics.
    assert sha256(tmp_path / "stratified/networks.safetensors") != sha256(tmp_path / "as_recorded/networks.safetensors")


def test_temperature_is_that_of_the_fisher_matrix_and_untempered_methods_have_none(trained, tmp_path):
    for method, temperature in (("fls", 1.0), ("fls", 5.0), ("fls-untempered", 5.0)):
        prune(trained, tmp_path / f"{method}-{temperature}", method, temperature=temperature)
    plain, tempered, untempered = (
        (tmp_path / name / "metrics.json").read_bytes() for name in ("fls-1.0", "fls-5.0", "fls-untempered-5.0")
    )
    assert untempered == plain != tempered


def test_retraining_trains_what_is_left_and_nothing_else(trained, tmp_path):
    prune(trained, tmp_path / "with", "obs-gradual")
    prune(trained, tmp_path / "without", "obs")
    files = (tmp_path / name / "networks.safetensors" for name in ("with", "without"))
    trained_on, plain = (load_network(file, 0.4)[0] for file in files)
    for name, mask in trained_on.masks.items():
        assert torch.count_nonzero(trained_on.model.state_dict()[name][~mask]) == 0
    # Layers that are not pruned train too.
    assert not torch.equal(trained_on.model.conv1.weight, plain.model.conv1.weight)


def test_wrong_input_is_named_before_any_work(trained, tmp_path):
    bad = {
        "sparsities should ascend": {"sparsities": [0.7, 0.4]},
        "less than 1": {"sparsities": [0.4, 1.0]},
        "curvature_images: more images": {"curvature_images": 161},
        "temperature: the empirical matrix": {"fisher": "labels", "temperature": 2.0},
        "fls.held_out: more images": {"fls": PARAMS["fls"] | {"held_out": 24}},
    }
    for message, change in bad.items():
        with pytest.raises(InputError, match=message):
            prune(trained, tmp_path / "out", **change)
    unlearnt = PARAMS["fls"] | {"first_steps": 0, "later_steps": 0}
    for method, message in {
        "fls-assimilated": "fls.later_steps: .*learning",
        "fls-plain-loss": "fls.first_steps",
    }.items():
        with pytest.raises(InputError, match=message):
            prune(trained, tmp_path / "out", method, fls=unlearnt)
    assert not (tmp_path / "out").exists()


def test_options_of_a_network_from_a_file_are_refused_beside_model(trained, tmp_path):
    with pytest.raises(click.UsageError, match="--model and --pattern and --temperature exclude"):
        invoke([*arguments(trained, tmp_path / "out"), "--pattern", "2:4", "--temperature", "3"])


def test_other_data_than_the_network_was_trained_on_is_refused(trained, tmp_path):
    with np.load(trained[1]) as file:
        arrays = {name: file[name] for name in ("images", "labels", "train", "validation", "test", "class_names")}
    save_dataset(tmp_path / "other.npz", **arrays | {"labels": arrays["labels"][::-1].copy()})
    with pytest.raises(InputError, match=r"model\.safetensors: data\.sha256: was trained on other data"):
        prune((trained[0], tmp_path / "other.npz"), tmp_path / "out")


def test_two_jobs_do_not_share_the_copies_made_on_the_way(trained, tmp_path, monkeypatch):
    folders = []
    monkeypatch.setattr("fishbone.stages.prune_job.hold", lambda folder: folders.append(folder) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prune(trained, tmp_path / "out")
    monkeypatch.undo()
    assert folders[0].parent == tmp_path / "out"
    with other_process(folders[0]) as process, pytest.raises(InputError, match=rf"\.kept-.*process {process.pid} on "):
        prune(trained, tmp_path / "out")


def spoil(monkeypatch, where: str, when) -> None:
    """Make a weight NaN after each call of the method ``where`` with arguments that are ``when``."""
    owner, name = where.rsplit(".", 1)
    done = getattr(pydoc.locate(owner), name)

    def spoilt(self, *given):
        result = done(self, *given)
        if when(self, *given):
            with torch.no_grad():
                self.model.fc.weight[0, 0] = math.nan
        return result

    monkeypatch.setattr(where, spoilt)


PRUNE = "fishbone.pruning.operation.Operation.prune"


def test_a_network_that_is_not_finite_ends_the_job_and_is_never_written(trained, tmp_path, monkeypatch):
    spoil(monkeypatch, PRUNE, lambda operation, sparsity: sparsity == 0.7)
    with pytest.raises(InputError, match=r"^gammas: at sparsity 0\.7 the network is not finite\. Give greater ones"):
        prune(trained, tmp_path, "fls-start", tuning_sparsities=[0.5])
    assert not (tmp_path / "networks.safetensors").exists()
    assert not (tmp_path / "metrics.json").exists()


def test_a_damping_whose_trial_is_not_finite_is_not_chosen(trained, tmp_path, monkeypatch):
    spoil(monkeypatch, PRUNE, lambda operation, sparsity: sparsity == 0.5 and operation.estimator.gamma == 0.01)
    prune(trained, tmp_path, "obs", tuning_sparsities=[0.5])
    metrics = read_json(tmp_path / "metrics.json")
    assert metrics["gamma"] == 0.0001
    assert "validation_accuracy_by_gamma/0.01" not in metrics


def test_a_trial_whose_answers_are_not_finite_counts_as_minus_infinity(trained):
    dataset = load_dataset(trained[1])
    judge = Judge.of(dataset, dataset.split("train")[0][:20], images=10, drawn="stratified", precision="fp32", seed=0)
    model, _ = load_model(trained[0])
    assert judge.quick_recalibrated(model) > 0
    with torch.no_grad():
        model.fc.weight.fill_(3e38)
    assert judge.quick_recalibrated(model) == -math.inf


def test_retraining_that_diverges_names_its_rate_and_the_sparsity(trained, tmp_path):
    retraining = PARAMS["retraining"] | {"learning_rate": 1e30}
    place = r"^retraining\.learning_rate: training diverged in epoch 1 at sparsity 0\.\d+: .*Lower it"
    with pytest.raises(InputError, match=place):
        prune(trained, tmp_path, "magnitude-gradual", retraining=retraining)
    assert not (tmp_path / "networks.safetensors").exists()


def test_a_trained_network_that_is_not_finite_is_refused(trained, tmp_path):
    model, sidecar = load_model(trained[0])
    with torch.no_grad():
        model.fc.weight[0, 0] = math.nan
    save_model(tmp_path / "spoilt.safetensors", model, sidecar)
    with pytest.raises(InputError, match=r"spoilt\.safetensors: holds weights that are not finite\. Train it again"):
        prune((tmp_path / "spoilt.safetensors", trained[1]), tmp_path / "out", "magnitude")
