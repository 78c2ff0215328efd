import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from killing import hashes, kill_when, run
from PIL import Image

from fishbone.data.dataset import load_dataset, save_dataset
from fishbone.errors import InputError
from fishbone.files import read_json, read_tensors, write_json
from fishbone.gan.methods import METHODS as BUILDERS
from fishbone.gan.samples import draw
from fishbone.nn.dcgan import Generator
from fishbone.nn.models import build, save_model
from fishbone.nn.sidecar import Sidecar
from fishbone.stages.gan.command import command
from fishbone.stages.gan.params import METHODS as NAMES
from fishbone.stages.gan.params import MethodRates, Params, Plan

DEVICE = {"speed": 1.0e9, "memory": 10**8}
RATES = {"generator": 0.003, "discriminator": 0.003}
PARAMS = {
    "users": [[DEVICE, DEVICE], [DEVICE], [DEVICE, DEVICE, DEVICE]],
    "partition": "quantity-2.0",
    "width": 4,
    "latent": 8,
    "dropout": 0.1,
    "batch": 16,
    "rounds": 4,
    "steps": 15,
    "learning_rate": {"fsl_gan": RATES, "centralised": RATES},
    "beta1": 0.0,
    "samples": 120,
    "validation_samples": 60,
    "threads": 1,
}
METHODS = ["fsl_gan", "centralised"]
FILES = {"generator.json", "generator.safetensors", "history.csv", "metrics.json", "samples.png"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Four classes of 8x8 images, each bright in its own quarter, and an untrained classifier of them."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 4
    images = rng.integers(0, 60, (400, 8, 8, 1))
    for i, label in enumerate(labels):
        images[i, 4 * (label // 2) :, 4 * (label % 2) :][:4, :4] += 180
    order = rng.permutation(400)
    save_dataset(
        folder / "quarters.npz", images=images, labels=labels, train=order[:240], validation=order[240:300],
        test=order[300:], class_names=list("abcd"),
    )  # fmt: skip
    architecture = {"name": "resnet", "depth": 8, "width": 4, "channels": 1, "classes": 4}
    sidecar = Sidecar.of(architecture, load_dataset(folder / "quarters.npz"))
    save_model(folder / "model.safetensors", build(architecture), sidecar)
    return folder


def arguments(inputs, out, method="fsl_gan", checkpoint=None, seed=0, **changes):
    keep = ["--checkpoint", str(checkpoint)] if checkpoint else []
    return [
        "--method", method, "--data", str(inputs / "quarters.npz"), "--classifier", str(inputs / "model.safetensors"),
        "--seed", str(seed), "--params", json.dumps(PARAMS | changes), *keep, "--out", str(out),
    ]  # fmt: skip


def gan(*args, **kwargs):
    result = CliRunner().invoke(command, arguments(*args, **kwargs), standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.output


@pytest.mark.parametrize("method", METHODS)
def test_stage_learns_and_writes_what_the_report_reads(inputs, tmp_path, method):
    output = gan(inputs, tmp_path / "out", method, tmp_path / "c.safetensors", rounds=8)
    metrics = read_json(tmp_path / "out" / "metrics.json")
    with open(tmp_path / "out" / "history.csv") as file:
        history = list(csv.DictReader(file))
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert metrics["fcd_floor"] < metrics["fcd"] < 0.5 * metrics["fcd_noise"]
    assert float(history[-1]["fcd_validation"]) < 0.5 * float(history[0]["fcd_validation"])
    assert float(history[-1]["fcd_validation"]) == metrics["fcd_validation"]
    assert [row["step"] for row in history] == list("12345678")
    assert metrics["images"] == 8 * 15 * 16
    assert 0 <= metrics["class_tv"] <= 1
    assert all(isinstance(value, int | float) for value in metrics.values())
    assert f"FCD {metrics['fcd']:.2f}" in output
    assert not (tmp_path / "c.safetensors").exists()


def test_generator_file_and_its_sidecar_give_the_samples(inputs, tmp_path):
    gan(inputs, tmp_path, rounds=1)
    description = read_json(tmp_path / "generator.json")
    assert description["architecture"].pop("name") == "dcgan_generator"
    assert description["data"]["sha256"] == load_dataset(inputs / "quarters.npz").digest
    generator = Generator(**description["architecture"])
    generator.load_state_dict(read_tensors(tmp_path / "generator.safetensors")[0])
    with Image.open(tmp_path / "samples.png") as picture:
        pixels = np.asarray(picture)
        assert not picture.info
    first = draw(generator, 64, 0)[0, ..., 0]
    assert pixels.shape == (128, 128)
    assert (pixels[:16, :16] == first.repeat(2, axis=0).repeat(2, axis=1)).all()


def test_metrics_name_every_device_with_its_costs(inputs, tmp_path):
    gan(inputs, tmp_path / "fsl", rounds=1)
    gan(inputs, tmp_path / "one", "centralised", rounds=1)
    split, central = (read_json(tmp_path / name / "metrics.json") for name in ("fsl", "one"))
    devices = [name.removeprefix("macs_") for name in split if name.startswith("macs_user")]
    assert {"user0_device0", "user0_device1", "user1_device0"} <= set(devices)
    assert all(split[f"{cost}_{device}"] > 0 for device in devices for cost in ("macs", "bytes_sent", "parameters"))
    assert split["bytes_between_devices"] > 0 < split["bytes_server"]
    assert (split["bytes_raw_images"], central["bytes_raw_images"]) == (0, 240 * 64)
    assert split["macs_server"] + split["macs_devices"] == central["macs_server"]
    for name in ("fcd_floor", "fcd_noise", "images"):
        assert split[name] == central[name]


def test_same_seed_same_bytes_other_seed_other_bytes(inputs, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        gan(inputs, tmp_path / name, seed=seed, rounds=1)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    first, other = hashes(tmp_path / "a"), hashes(tmp_path / "c")
    assert all(first[name] != other[name] for name in FILES - {"generator.json"})


def test_killed_run_resumes_to_the_same_bytes(inputs, tmp_path):
    checkpoint = tmp_path / "checkpoints" / "c.safetensors"
    killed = ["gan", *arguments(inputs, tmp_path / "killed", checkpoint=checkpoint, rounds=8, steps=8)]
    kill_when(killed, checkpoint.exists)
    assert not (tmp_path / "killed").exists()
    assert 1 <= len(read_tensors(checkpoint)[1]["state"]["history"]) < 8
    run(killed)
    gan(inputs, tmp_path / "whole", rounds=8, steps=8)
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "whole")
    assert not checkpoint.exists()


def test_classifier_of_other_data_is_refused(inputs, tmp_path):
    description = read_json(inputs / "model.json")
    other = tmp_path / "other"
    other.mkdir()
    for path in inputs.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    write_json(other / "model.json", description | {"data": {"name": "x", "sha256": "0" * 64}})
    with pytest.raises(InputError, match=r"model\.safetensors: data\.sha256: was trained on other data"):
        gan(other, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 241}, "samples: the floor needs as many training images, and quarters has 240"),
        ({"batch": 2}, "batch: a step needs an image of every user"),
        ({"users": [[{"speed": 1.0, "memory": 100}]]}, "fits the memories"),
        ({"users": []}, "users"),
        ({"users": [[]]}, "users.0"),
        ({"dropout": 1.0}, "dropout"),
        ({"partition": "random"}, "partition"),
        ({"learning_rate": {"fsl_gan": RATES}}, "learning_rate.centralised: key is missing"),
    ],
)
def test_wrong_parameters_are_named(inputs, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        gan(inputs, tmp_path, **changes)


def test_plan_adds_what_to_run():
    plan = Plan.parse(PARAMS | {"datasets": ["mnist5k"], "methods": METHODS, "seeds": [0]}, file="params.yaml")
    assert Params.model_validate(plan.model_dump(include=set(Params.model_fields))).width == 4


def test_parameters_name_every_method():
    assert list(NAMES) == list(BUILDERS) == list(MethodRates.model_fields)
