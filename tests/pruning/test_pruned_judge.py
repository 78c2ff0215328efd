"""Quick and exact judgements of a network, against accuracy counted by hand."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from fishbone.data.dataset import load_dataset, save_dataset
from fishbone.nn.resnet import ResNet
from fishbone.pruning.images import judging
from fishbone.pruning.judge import Judge


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """240 images of noise in three classes: 100 to train, 80 to validate, 60 to test."""
    path = tmp_path_factory.mktemp("noise") / "noise.npz"
    generator = np.random.default_rng(0)
    images, labels = generator.integers(0, 256, (240, 6, 6, 1)).astype(np.uint8), np.arange(240) % 3
    splits = {"train": np.arange(100), "validation": np.arange(100, 180), "test": np.arange(180, 240)}
    save_dataset(path, images=images, labels=labels, **splits, class_names=["a", "b", "c"])
    return load_dataset(path)


@pytest.fixture
def network():
    torch.manual_seed(0)
    model = ResNet(8, 4, 1, 3)
    model(torch.randn(64, 1, 6, 6))
    with torch.no_grad():
        model.fc.weight *= 20
    return model.eval()


def judge(dataset, **changes) -> Judge:
    plain = {"images": 40, "drawn": "stratified", "precision": "fp32", "seed": 3}
    return Judge.of(dataset, dataset.split("train")[0], **plain | changes)


@torch.no_grad()
def accuracy(network, inputs, labels) -> float:
    return (network(inputs).argmax(1) == labels).double().mean().item()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_whole_split_counts_and_the_network_stays_as_it_is(dataset, network, split):
    before = copy.deepcopy(network.state_dict())
    inputs, labels = dataset.split(split)
    found = judge(dataset).whole(network, split)
    assert found["accuracy"] == pytest.approx(accuracy(network, inputs, labels))
    with torch.no_grad():
        assert found["loss"] == pytest.approx(nn.functional.cross_entropy(network(inputs), labels).item(), rel=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.blocks[0].conv1.weight.is_contiguous()


@pytest.mark.parametrize("drawn", ["stratified", "as_recorded"])
def test_quick_answers_are_of_the_few_images_that_the_seed_draws(dataset, network, drawn):
    few = judging(dataset, 40, 3, drawn)
    made = judge(dataset, drawn=drawn)
    assert all(torch.equal(one, other) for one, other in zip(made.few, few, strict=True))
    assert made.quick(network) == pytest.approx(accuracy(network, *few))
    other = judge(dataset, drawn=drawn, seed=4).few[0]
    assert torch.equal(other, few[0]) == (drawn == "as_recorded")


def test_recalibrated_answers_are_those_of_fresh_statistics_in_a_copy(dataset, network):
    made = judge(dataset)
    before = copy.deepcopy(network.state_dict())
    fresh = made.recalibrated(network)
    inputs = dataset.split("train")[0]
    with torch.no_grad():
        torch.testing.assert_close(fresh.bn1.running_mean, network.conv1(inputs).mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert made.quick_recalibrated(network) == pytest.approx(accuracy(fresh, *made.few))
    assert made.quick_recalibrated(network) != made.quick(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_network_that_is_not_finite_is_the_worst(dataset, network):
    made = judge(dataset)
    with torch.no_grad():
        network.fc.bias[0] = math.nan
    assert made.quick_recalibrated(network) == -math.inf
    assert made.quick(network) == 0


@pytest.mark.parametrize(("precision", "half"), [("fp32", False), ("bf16", True)])
def test_only_quick_answers_are_in_the_precision_asked_for(dataset, network, precision, half):
    made, seen = judge(dataset, precision=precision), []

    def note(*_):
        seen.append(torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16)

    network.register_forward_pre_hook(note)  # its copies have it, too
    made.quick(network)
    assert seen == [half]
    made.quick_recalibrated(network)
    assert seen == [half] * 3  # the statistics, then the answer
    made.whole(network, "test")
    assert seen == [half] * 3 + [False]
