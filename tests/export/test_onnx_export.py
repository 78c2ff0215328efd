import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn
from torch.nn.utils import prune

import fishbone
from fishbone.errors import InputError
from fishbone.export import gates
from fishbone.export.checked import check_masks, checked_export, not_zero
from fishbone.export.from_torch import to_bytes, to_onnx, with_metadata
from fishbone.export.stored import tensors
from fishbone.nn.models import build

ARCHITECTURE = {"name": "resnet", "depth": 8, "width": 4, "channels": 1, "classes": 3}
PROVENANCE = {"architecture": ARCHITECTURE, "licence": "Apache-2.0", "class_names": ["a", "b", "c"]}
AGAIN = """
import hashlib, sys
import torch
torch.set_num_threads(1)
from test_onnx_export import PROVENANCE, images, network
from fishbone.export.checked import checked_export
import fishbone
assert fishbone.__file__.startswith(sys.argv[1]), fishbone.__file__
content = checked_export(network(), images(), opset=18, threads=1, provenance=PROVENANCE).content
print(hashlib.sha256(content).hexdigest())
"""


def network():
    """A ResNet with lived-in batch norm and three quarters of its kernels' weights pruned."""
    model = build(ARCHITECTURE).eval()
    generator = torch.Generator().manual_seed(0)
    for name, buffer in (*model.named_buffers(), *model.named_parameters()):
        if "bn" in name or "shortcut.1" in name:
            buffer.data.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
        elif buffer.ndim >= 2:
            buffer.data.mul_(torch.rand(buffer.shape, generator=generator) < 0.25)
    return model


def images():
    return np.random.default_rng(0).standard_normal((40, 1, 12, 12), dtype=np.float32)


@dataclass
class Case:
    network: nn.Module
    exported: object
    proto: onnx.ModelProto

    def copy(self):
        proto = onnx.ModelProto()
        proto.CopyFrom(self.proto)
        return proto


@pytest.fixture(scope="module")
def case():
    model = network()
    exported = checked_export(model, images(), opset=18, threads=1, provenance=PROVENANCE)
    return Case(model, exported, onnx.load_from_string(exported.content))


def test_exported_network_computes_what_pytorch_computes(case):
    import onnxruntime as ort

    session = ort.InferenceSession(case.exported.content)
    for batch in (1, 7):
        with torch.no_grad():
            expected = case.network(torch.from_numpy(images()[:batch])).numpy()
        assert session.run(None, {"image": images()[:batch]})[0] == pytest.approx(expected, abs=1e-4)
    assert case.exported.parity.relative < 1e-5
    assert case.exported.parity.agreement == 1


def test_file_is_the_same_from_another_folder_and_hash_seed(case, tmp_path):
    package = Path(fishbone.__file__).parent
    shutil.copytree(package, tmp_path / "elsewhere" / "fishbone", ignore=shutil.ignore_patterns("__pycache__"))
    paths = os.pathsep.join([str(tmp_path / "elsewhere"), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, tmp_path],
        cwd=tmp_path,
        env=os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[-1] == hashlib.sha256(case.exported.content).hexdigest()


def test_file_holds_no_path_of_this_machine(case):
    bare = case.copy()
    for tensor in bare.graph.initializer:
        tensor.ClearField("raw_data")
    text = to_bytes(bare)
    for place in (os.getcwd(), str(Path(fishbone.__file__).parent), str(Path.home()), sys.prefix):
        assert place.encode() not in text, place
    assert not re.search(rb"/\w+/\w+", text)


def test_weights_stay_zero_where_they_were_and_only_there(case):
    weights = [np.count_nonzero(value.detach()) for value in case.network.parameters() if value.ndim >= 2]
    assert case.exported.facts.nonzero == sum(weights)
    assert case.exported.provenance["nonzero"] == sum(weights)
    assert 0.6 < case.exported.provenance["sparsity"] < 0.9


def test_macs_are_those_that_pytorch_does(case):
    found = []

    def count(layer, _inputs, output):
        positions = output.shape[2:].numel() if output.ndim == 4 else 1
        found.append((layer.weight.numel() * positions, int(layer.weight.count_nonzero()) * positions))

    handles = [m.register_forward_hook(count) for m in case.network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    case.network(torch.zeros(1, 1, 12, 12))
    for handle in handles:
        handle.remove()
    assert (case.exported.facts.macs, case.exported.facts.sparse_macs) == tuple(map(sum, zip(*found, strict=True)))


def test_device_reads_provenance_from_the_session(case):
    import onnxruntime as ort

    found = ort.InferenceSession(case.exported.content).get_modelmeta().custom_metadata_map
    values = {key.removeprefix("fishbone."): json.loads(value) for key, value in found.items()}
    assert values == case.exported.provenance
    assert values["architecture"] == ARCHITECTURE


def test_another_opset_than_asked_for_is_noticed(case):
    with pytest.raises(gates.GateError, match="asked for opset 19"):
        gates.check_interface(case.proto, 19)


def test_opset_17_that_the_exporter_silently_refuses_is_an_error():
    with pytest.raises(gates.GateError, match="asked for opset 17"):
        checked_export(network(), images(), opset=17, threads=1, provenance={})


def test_a_frozen_batch_dimension_is_noticed(case):
    proto = case.copy()
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(gates.GateError, match="batch dimension"):
        gates.check_interface(proto, 18)


@pytest.mark.filterwarnings("ignore:The tensor attributes")
def test_masks_left_in_the_graph_are_noticed_although_outputs_are_right():
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(8 * 4 * 4, 100)).eval()
    for layer in (model[0], model[2]):
        prune.l1_unstructured(layer, "weight", 0.5)
    proto = to_onnx(model, (1, 6, 6), 18)
    gates.check_parity(proto, model, np.zeros((4, 1, 6, 6), np.float32), 1)
    with pytest.raises(gates.GateError, match="make the masks permanent"):
        gates.check_folded(proto)
    with pytest.raises(gates.GateError, match="masks or copies left"):
        gates.check_size(proto, model)


def test_batch_norm_that_nothing_can_take_up_is_noticed():
    values = [numpy_helper.from_array(np.ones(2, np.float32), name) for name in "sbmv"]
    node = helper.make_node("BatchNormalization", ["x", *"sbmv"], ["y"], "norm")
    proto = helper.make_model(helper.make_graph([node], "g", [], [], values))
    with pytest.raises(gates.GateError, match="norm: batch norm was not folded"):
        gates.check_folded(proto)


@pytest.mark.parametrize("change", ["revived", "lost", "renamed"])
def test_changed_zeros_are_noticed(case, change):
    proto = case.copy()
    tensor = next(t for t in proto.graph.initializer if t.name == "blocks.0.conv1.weight")
    array = numpy_helper.to_array(tensor).copy()
    place = np.argwhere(array == 0 if change == "revived" else array != 0)[0]
    array[tuple(place)] = 1e-30 if change == "revived" else 0
    tensor.CopyFrom(numpy_helper.from_array(array, "other" if change == "renamed" else tensor.name))
    with pytest.raises(gates.GateError, match=r"blocks\.0\.conv1\.weight"):
        gates.check_zeros(proto, not_zero(case.network))
    gates.check_zeros(case.proto, not_zero(case.network))


@pytest.mark.parametrize("path", ["/home/someone/net.py", "C:\\Users\\someone\\net.py", '"/someone/x'])
def test_a_path_anywhere_is_noticed(case, path):
    proto = with_metadata(case.proto, {"class_names": ["hot/warm/cold"]})
    gates.check_no_paths(proto)
    proto.graph.node[3].doc_string = f"File {path}, line 3"
    with pytest.raises(gates.GateError, match="someone"):
        gates.check_no_paths(proto)


def test_other_outputs_are_noticed(case):
    proto = case.copy()
    tensor = next(t for t in proto.graph.initializer if t.name == "fc.bias")
    array = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(array + 0.01, "fc.bias"))
    with pytest.raises(gates.GateError, match="something else"):
        gates.check_parity(proto, case.network, images(), 1)
    tensor.CopyFrom(numpy_helper.from_array(array * np.float32("nan"), "fc.bias"))
    with pytest.raises(gates.GateError, match="something else"):
        gates.check_parity(proto, case.network, images(), 1)


def test_an_output_that_is_not_finite_on_one_synthetic_input_alone_is_noticed(case, monkeypatch):
    found, outputs = [], gates._outputs

    def with_a_hole(*given):
        ours, theirs = outputs(*given)
        found.append(given)
        return ours, theirs * np.float32("nan") if len(found) == 3 else theirs

    monkeypatch.setattr(gates, "_outputs", with_a_hole)
    with pytest.raises(gates.GateError, match="something else"):
        gates.check_parity(case.copy(), case.network, images(), 1)


def test_metadata_change_neither_weights_nor_graph(case):
    proto = with_metadata(case.proto, {"licence": "MIT"})
    assert len(proto.metadata_props) == 1
    assert all(np.array_equal(a, b) for a, b in zip(tensors(proto).values(), tensors(case.proto).values(), strict=True))


def test_masks_must_fit_the_weights(case):
    masks = {name: torch.from_numpy(mask) for name, mask in not_zero(case.network).items()}
    check_masks(case.network, masks, "m")
    check_masks(case.network, {name: mask.to(torch.uint8) for name, mask in masks.items()}, "m")
    with pytest.raises(InputError, match=r"fc\.weight.*hides weights"):
        check_masks(case.network, {"fc.weight": torch.zeros(3, 16, dtype=torch.bool)}, "m")
    with pytest.raises(InputError, match=r"none\.weight.*no parameter"):
        check_masks(case.network, {"none.weight": torch.zeros(1)}, "m")


def test_a_network_in_training_mode_is_refused(case):
    with pytest.raises(ValueError, match="eval mode"):
        to_onnx(build(ARCHITECTURE), (1, 12, 12), 18)


def test_two_branch_network_exports():
    architecture = {"name": "two_branch", "shape": [1, 12, 12], "classes": 3, "embedding": 8, "hidden": 20}
    exported = checked_export(build(architecture).eval(), images(), opset=18, threads=1, provenance={})
    assert exported.facts.macs == exported.facts.weights == 2 * 72 * 8 + 16 * 20 + 20 * 3
