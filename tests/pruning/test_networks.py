import pytest
import torch

from fishbone.errors import InputError
from fishbone.files import read_tensors, sha256, write_json, write_tensors
from fishbone.nn.models import build, save_model
from fishbone.nn.sidecar import Sidecar, TrainedOn
from fishbone.pruning.networks import Network, load_network, save_networks

ARCHITECTURE = {"name": "resnet", "depth": 8, "width": 4, "channels": 1, "classes": 3}
SIDECAR = Sidecar(
    architecture=ARCHITECTURE, data=TrainedOn(name="small", sha256="0"), parent="ab",
    mean=(0.25,), std=(0.5,), class_names=("a", "b", "c"),
)  # fmt: skip


@pytest.fixture
def networks():
    made = {}
    for seed, sparsity in enumerate((0.5, 0.9)):
        model = build(ARCHITECTURE, seed)
        mask = torch.rand(model.blocks[0].conv1.weight.shape, generator=torch.Generator().manual_seed(seed)) > sparsity
        made[sparsity] = Network(model.eval(), {"blocks.0.conv1.weight": mask})
    return made


@pytest.fixture
def file(networks, tmp_path):
    save_networks(tmp_path / "networks.safetensors", networks, SIDECAR)
    return tmp_path / "networks.safetensors"


def test_each_sparsity_comes_back_with_its_own_weights_and_mask(networks, file):
    for sparsity, network in networks.items():
        found, sidecar = load_network(file, sparsity)
        assert sidecar == SIDECAR
        assert not found.model.training
        weights = network.model.state_dict()
        assert all(torch.equal(value, weights[name]) for name, value in found.model.state_dict().items())
        assert found.masks.keys() == network.masks.keys()
        assert all(torch.equal(mask, network.masks[name]) for name, mask in found.masks.items())


def test_the_same_networks_are_the_same_bytes(networks, file, tmp_path):
    again = tmp_path / "again" / "networks.safetensors"
    save_networks(again, networks, SIDECAR)
    assert sha256(again) == sha256(file)
    assert sha256(again.with_suffix(".json")) == sha256(file.with_suffix(".json"))


def test_only_what_is_asked_for_is_read(file):
    tensors, _ = read_tensors(file, "0.9/mask/")
    assert list(tensors) == ["blocks.0.conv1.weight"]


def test_a_sparsity_that_is_not_there_or_not_asked_for_is_named_with_those_that_are(file, tmp_path):
    for sparsity in (0.8, None):
        with pytest.raises(InputError, match=r"networks\.safetensors: --sparsity: .*Give one of 0\.5, 0\.9\."):
            load_network(file, sparsity)
    single = build(ARCHITECTURE)
    save_model(tmp_path / "model.safetensors", single, SIDECAR)
    found, _ = load_network(tmp_path / "model.safetensors")
    assert found.masks == {}
    assert torch.equal(found.model.fc.weight, single.fc.weight)
    with pytest.raises(InputError, match="holds one network"):
        load_network(tmp_path / "model.safetensors", 0.5)


def test_files_of_different_runs_are_noticed(file, networks, tmp_path):
    write_json(file.with_suffix(".json"), SIDECAR.content() | {"sparsities": [0.5, 0.7]})
    with pytest.raises(InputError, match=r"networks\.safetensors: .*weights do not fit"):
        load_network(file, 0.7)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        load_network(file, 0.5)
    write_tensors(tmp_path / "alone.safetensors", {})
    with pytest.raises(InputError, match="missing"):
        load_network(tmp_path / "alone.safetensors", 0.5)
