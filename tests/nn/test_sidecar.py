import json
from dataclasses import replace

import numpy as np
import pytest

from fishbone.data.dataset import Dataset
from fishbone.errors import InputError
from fishbone.files import write_json
from fishbone.nn.models import build, load_model, save_model
from fishbone.nn.sidecar import Sidecar

ARCHITECTURE = {"name": "two_branch", "shape": [1, 4, 4], "classes": 2, "embedding": 3, "hidden": 3, "parties": 2}
NONE = np.empty(0, np.int64)
DATASET = Dataset(
    "noise", "ab12", np.zeros((1, 4, 4, 1), np.uint8), NONE, NONE, NONE, NONE, ("yes", "no"),
    mean=np.float32([0.1]), std=np.float32([0.3]),
)  # fmt: skip
SIDECAR = Sidecar.of(ARCHITECTURE, DATASET)


def test_the_file_has_these_keys_and_comes_back_as_it_was(tmp_path):
    SIDECAR.write(tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text()) == {
        "architecture": ARCHITECTURE,
        "data": {"name": "noise", "sha256": "ab12"},
        "parent": None,
        "mean": [float(np.float32(0.1))],
        "std": [float(np.float32(0.3))],
        "class_names": ["yes", "no"],
    }
    assert Sidecar.read(tmp_path / "m.json") == SIDECAR


def test_that_of_a_network_says_what_its_data_set_says():
    pixels = np.zeros((1, 4, 4, 3), np.uint8)
    mean, std = np.float32([0.1, 0.5, 0.2]), np.float32([0.3, 0.7, 0.9])
    dataset = replace(DATASET, name="colours", digest="ef56", images=pixels, mean=mean, std=std)
    assert Sidecar.of(ARCHITECTURE, dataset, "cd34").content() == {
        "architecture": ARCHITECTURE,
        "data": {"name": "colours", "sha256": "ef56"},
        "parent": "cd34",
        "mean": mean.tolist(),
        "std": std.tolist(),
        "class_names": ["yes", "no"],
    }


def test_that_of_several_networks_lists_their_sparsities(tmp_path):
    several = SIDECAR.model_copy(update={"sparsities": (0.5, 0.9)})
    several.write(tmp_path / "n.json")
    assert json.loads((tmp_path / "n.json").read_text()) == SIDECAR.content() | {"sparsities": [0.5, 0.9]}
    assert Sidecar.read(tmp_path / "n.json") == several


def test_a_descendant_has_another_parent_and_else_the_same():
    assert SIDECAR.derived("cd").content() == SIDECAR.content() | {"parent": "cd"}


def test_the_normalisation_is_the_data_sets_to_the_last_bit():
    mean, std = SIDECAR.normalisation
    assert mean.dtype == std.dtype == np.float32
    np.testing.assert_array_equal(mean, DATASET.mean)
    np.testing.assert_array_equal(std, DATASET.std)


def test_data_are_the_same_by_their_hash_and_not_by_their_name(tmp_path):
    SIDECAR.check_data(replace(DATASET, name="renamed"), tmp_path / "m.safetensors")
    with pytest.raises(InputError) as refusal:
        SIDECAR.check_data(replace(DATASET, digest="cd34"), tmp_path / "m.safetensors")
    expected = (
        f"{tmp_path}/m.safetensors: data.sha256: was trained on other data (got 'ab12'). "
        "Give noise.npz as it was then, or train again on this noise.npz."
    )
    assert str(refusal.value) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"name": "noise"}}, "data.sha256: not a sidecar: key is missing. "),
        ({"data": None}, "data: not a sidecar: "),
        ({"mean": [0.1, "0.2"]}, "mean.1: not a sidecar: input should be a valid number (got '0.2'). "),
        ({"std": 0.3}, "std: not a sidecar: "),
        ({"parent": 7}, "parent: not a sidecar: input should be a valid string (got 7). "),
        ({"classes": 2}, "classes: not a sidecar: unknown key (got 2). "),
        ({"sparsities": ["0.5"]}, "sparsities.0: not a sidecar: input should be a valid number (got '0.5'). "),
    ],
)
def test_a_file_that_is_no_sidecar_is_named_with_its_key_and_value(tmp_path, change, message):
    write_json(tmp_path / "m.json", SIDECAR.content() | change)
    with pytest.raises(InputError) as refusal:
        Sidecar.read(tmp_path / "m.json")
    assert str(refusal.value).startswith(f"{tmp_path}/m.json: {message}")
    assert str(refusal.value).endswith("Take weights and sidecar from the same run, or train again.")


def test_a_list_or_a_missing_key_is_no_sidecar(tmp_path):
    for content in ([1], {}):
        write_json(tmp_path / "m.json", content)
        with pytest.raises(InputError, match=r"m\.json: .*not a sidecar"):
            Sidecar.read(tmp_path / "m.json")


@pytest.mark.parametrize(
    "architecture",
    [{"name": "perceptron"}, {"depth": 8}, {**ARCHITECTURE, "depth": 8}, {"name": "resnet", "depth": 9, "width": 4}],
)
def test_a_network_that_cannot_be_built_is_named_with_its_sidecar(tmp_path, architecture):
    save_model(tmp_path / "m.safetensors", build(ARCHITECTURE), SIDECAR)
    write_json(tmp_path / "m.json", SIDECAR.content() | {"architecture": architecture})
    with pytest.raises(InputError, match=r"m\.json: architecture: there is no such network .*got \{"):
        load_model(tmp_path / "m.safetensors")
