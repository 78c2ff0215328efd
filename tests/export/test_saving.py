import json

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from fishbone.errors import FishboneError, InputError
from fishbone.export import checked
from fishbone.export.from_torch import to_onnx
from fishbone.export.gates import GateError
from fishbone.export.saving import save_onnx

IMAGES = np.random.default_rng(0).standard_normal((5, 1, 6, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval()


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "net.onnx"
    return path, save_onnx(network, path, IMAGES, provenance={"class_names": ["a", "b", "c"]})


def test_a_network_of_ones_own_is_saved_as_a_file_that_computes_the_same(network, saved):
    path, exported = saved
    found = ort.InferenceSession(path).run(None, {"image": IMAGES})[0]
    np.testing.assert_allclose(found, network(torch.from_numpy(IMAGES)).detach().numpy(), rtol=1e-5, atol=1e-6)
    assert exported.content == path.read_bytes()
    assert (exported.facts.parameters, exported.facts.weights) == (4 * 9 + 4 + 64 * 3 + 3, 4 * 9 + 64 * 3)


def test_its_facts_lie_beside_it_and_its_metadata_say_what_it_was_told(saved):
    path, exported = saved
    written = json.loads(path.with_suffix(".json").read_text())
    assert written["facts"] == exported.facts.model_dump()
    assert written["parity"]["images"] == len(IMAGES)
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert json.loads(metadata["fishbone.class_names"]) == ["a", "b", "c"]


def test_nothing_is_written_of_a_file_that_computes_something_else(network, saved, monkeypatch, tmp_path):
    def other(*given):
        proto = to_onnx(*given)
        bias = next(tensor for tensor in proto.graph.initializer if tensor.name.endswith("3.bias"))
        bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + 1, bias.name))
        return proto

    monkeypatch.setattr(checked, "to_onnx", other)
    with pytest.raises(GateError, match="computes something else than PyTorch"):
        save_onnx(network, tmp_path / "net.onnx", IMAGES)
    assert list(tmp_path.iterdir()) == []
    assert issubclass(GateError, FishboneError)


def test_a_network_in_training_mode_and_another_suffix_are_refused_at_once(network, tmp_path):
    with pytest.raises(InputError, match=r"training mode.*network\.eval\(\)"):
        save_onnx(nn.Sequential(network).train(), tmp_path / "net.onnx", IMAGES)
    network.eval()
    with pytest.raises(InputError, match=r"\.onnx"):
        save_onnx(network, tmp_path / "net.pt", IMAGES)
