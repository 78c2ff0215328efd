from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fishbone.errors import InputError
from fishbone.nn.dcgan import Discriminator, Generator
from fishbone.split.planner import Capacity, Layer, balanced, measure, memory, placements

LAYERS = st.lists(
    st.builds(Layer, st.just("x"), st.integers(0, 50), st.integers(0, 20), st.integers(0, 5)), min_size=1, max_size=6
)
DEVICES = st.lists(st.builds(Capacity, st.integers(1, 8).map(float), st.integers(0, 900)), min_size=1, max_size=4)


def brute_force(layers, devices, batch):
    """Least bottleneck over every assignment of layers to devices that is contiguous, in order and owner-first."""
    best = None
    for assignment in product(range(len(devices)), repeat=len(layers)):
        if assignment[0] != 0 or list(assignment) != sorted(assignment):
            continue
        loads = []
        for index, device in enumerate(devices):
            mine = [layer for layer, chosen in zip(layers, assignment, strict=True) if chosen == index]
            needed = sum(16 * layer.parameters + 4 * batch * layer.outputs for layer in mine)
            loads.append(sum(layer.macs for layer in mine) / device.speed if needed <= device.memory else float("inf"))
        if best is None or max(loads) < best:
            best = max(loads)
    return best


def load(layers, devices, sizes):
    end, busiest = 0, 0.0
    for size, device in zip(sizes, devices, strict=True):
        busiest = max(busiest, sum(layer.macs for layer in layers[end : end + size]) / device.speed)
        end += size
    return busiest


@settings(max_examples=300, deadline=None)
@given(LAYERS, DEVICES, st.integers(1, 3))
def test_balanced_cut_equals_brute_force(layers, devices, batch):
    expected = brute_force(layers, devices, batch)
    if expected == float("inf"):
        with pytest.raises(InputError, match="fits the memories"):
            balanced(layers, devices, batch)
        return
    sizes = balanced(layers, devices, batch)
    assert load(layers, devices, sizes) == expected
    assert sum(sizes) == len(layers)
    assert sizes[0] >= 1
    end = 0
    for size, device in zip(sizes, devices, strict=True):
        assert memory(layers[end : end + size], batch) <= device.memory
        end += size


def test_equal_layers_go_in_proportion_to_speed():
    layers = [Layer("x", 10, 1, 1)] * 12
    devices = [Capacity(speed, 10**6) for speed in (1.0, 2.0, 3.0)]
    assert balanced(layers, devices, 1) == (2, 4, 6)


def test_single_device_takes_everything_and_idle_helpers_stay_unused():
    layers = [Layer("x", 10, 1, 1), Layer("y", 1, 1, 1)]
    assert balanced(layers, [Capacity(1.0, 10**6)], 1) == (2,)
    assert balanced(layers, [Capacity(1e6, 10**6), Capacity(1e-3, 10**6)], 1) == (2, 0)


def test_first_layer_stays_with_the_owner_however_slow():
    layers = [Layer("x", 10, 1, 1), Layer("y", 10, 1, 1)]
    assert balanced(layers, [Capacity(1e-6, 10**6), Capacity(1e6, 10**6)], 1) == (1, 1)


def test_placements_are_all_in_order_with_a_layer_on_the_first_device():
    assert list(placements(3, 1)) == [(3,)]
    assert sorted(placements(3, 3)) == [(1, 0, 2), (1, 1, 1), (1, 2, 0), (2, 0, 1), (2, 1, 0), (3, 0, 0)]


def test_ties_go_to_fewer_devices_and_then_to_earlier_ones():
    devices = [Capacity(1.0, 10**6)] * 3
    heavy, free = Layer("x", 10, 1, 1), Layer("y", 0, 1, 1)
    assert balanced([heavy, free], devices, 1) == (2, 0, 0)
    assert balanced([heavy, free, heavy], devices, 1) == (2, 1, 0)


def test_memory_forces_a_cut():
    layers = [Layer("x", 10, 10, 0)] * 4
    fast, helper = Capacity(100.0, 16 * 20), Capacity(1.0, 16 * 20)
    assert balanced(layers, [fast, helper], 1) == (2, 2)


def test_paper_discriminator_costs_what_the_notebook_says():
    layers = measure(Discriminator([1, 28, 28], 64, 0.3, 0), (1, 28, 28))
    conv3, dense = layers[2:]
    assert [(layer.macs, layer.parameters) for layer in layers[:2]] == [(313_600, 1_664), (10_035_200, 204_928)]
    assert (conv3.macs + dense.macs, conv3.parameters + dense.parameters) == (13_111_296, 823_553)
    assert 2 * sum(layer.macs for layer in layers) == 46_920_192
    assert [layer.outputs for layer in layers] == [12_544, 6_272, 4_096, 1]


def test_paper_generator_costs_what_the_notebook_says():
    layers = measure(Generator([1, 28, 28], 64, 100).layers, (100,))
    assert round(sum(layer.macs for layer in layers) / 1e6, 2) == 51.74


def test_layers_are_measured_under_their_names_in_whole_numbers_and_nothing_is_printed(capsys):
    network = nn.Sequential()
    network.add_module("dense", nn.Linear(3, 4))
    network.add_module("shape", nn.Unflatten(1, (2, 2)))
    layers = measure(network, (3,))
    assert layers == [Layer("dense", 12, 16, 4), Layer("shape", 0, 0, 4)]
    assert all(type(layer.macs) is int for layer in layers)
    assert capsys.readouterr() == ("", "")


def test_measuring_leaves_the_network_as_it_was():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    measure(network, (3,))
    assert network.training
    assert torch.equal(network[1].running_mean, torch.zeros(4))
