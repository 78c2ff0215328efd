import pytest
import torch

from fishbone.errors import InputError
from fishbone.files import write_tensors
from fishbone.nn.models import build, load_model, save_model
from fishbone.nn.resnet import ResNet, layout
from fishbone.nn.sidecar import Sidecar, TrainedOn


def count(model) -> int:
    return sum(p.numel() for p in model.parameters())


def described(architecture: dict) -> Sidecar:
    data = TrainedOn(name="small", sha256="0")
    names = tuple("0123456789")
    return Sidecar(architecture=architecture, data=data, parent=None, mean=(0.25,), std=(0.5,), class_names=names)


def test_full_width_resnet18_has_the_published_number_of_parameters():
    assert count(ResNet(18, 64, 3, 10)) == 11_173_962


def test_resnet20_has_its_number_of_parameters():
    # 270,896 of the identity-shortcut network (He et al., Table 6: 0.27M) + biases and projections.
    convolutions = 3 * 16 * 9 + 6 * 16 * 16 * 9 + (16 + 5 * 32) * 32 * 9 + (32 + 5 * 64) * 64 * 9
    projections = 16 * 32 + 32 * 64
    norms = 2 * (7 * 16 + 7 * 32 + 7 * 64)
    assert count(ResNet(20, 16, 3, 10)) == convolutions + projections + norms + 64 * 10 + 10


@pytest.mark.parametrize("depth", [7, 9, 2, 0, 19])
def test_impossible_depth_is_refused(depth):
    with pytest.raises(ValueError, match="6n\\+2"):
        layout(depth)


def test_features_are_what_the_last_layer_reads():
    model = build({"name": "resnet", "depth": 8, "width": 4, "channels": 1, "classes": 10}).eval()
    x = torch.randn(3, 1, 28, 28)
    features = model.features(x)
    assert features.shape == (3, 16)
    assert torch.equal(model.fc(features), model(x))


def test_building_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = build({"name": "resnet", "depth": 8, "width": 4, "channels": 1, "classes": 10}, seed=1)
    assert torch.equal(torch.rand(1), expected)
    again = build({"name": "resnet", "depth": 8, "width": 4, "channels": 1, "classes": 10}, seed=1)
    other = build({"name": "resnet", "depth": 8, "width": 4, "channels": 1, "classes": 10}, seed=2)
    assert torch.equal(first.conv1.weight, again.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


def test_saved_model_comes_back_from_its_two_files(tmp_path):
    architecture = {"name": "resnet", "depth": 8, "width": 4, "channels": 1, "classes": 10}
    model = build(architecture, seed=3)
    save_model(tmp_path / "m.safetensors", model, described(architecture))
    loaded, sidecar = load_model(tmp_path / "m.safetensors")
    assert sidecar == described(architecture)
    assert not loaded.training
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


def test_weights_of_another_network_are_refused_by_name(tmp_path):
    architecture = {"name": "resnet", "depth": 8, "width": 4, "channels": 1, "classes": 10}
    save_model(tmp_path / "m.safetensors", build(architecture), described(architecture))
    write_tensors(tmp_path / "m.safetensors", {"x": torch.zeros(1)})
    with pytest.raises(InputError, match=r"m\.safetensors.*do not fit"):
        load_model(tmp_path / "m.safetensors")
