import copy

import pytest
import torch
from torch import nn

from fishbone.files import read_tensors, write_tensors
from fishbone.nn.optimiser import Optimiser
from fishbone.nn.pack import pack, under, unpack

OPTIMISERS = {
    "sgd": Optimiser("sgd", 0.1),
    "momentum": Optimiser("sgd", 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": Optimiser("adam", 0.01, betas=(0.5, 0.99)),
}


def network(seed: int) -> nn.Module:
    """With buffers, one of them an integer, and in float64 to let rounding to float32 be seen."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)).double()


def go_on(model: nn.Module, optimiser: torch.optim.Optimizer, steps: int) -> None:
    for step in range(steps):
        inputs = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        model(inputs).square().mean().backward()
        optimiser.step()


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("kind", OPTIMISERS)
def test_what_was_packed_goes_on_to_the_same_bits_by_way_of_a_file(tmp_path, kind, steps):
    model = network(0)
    optimiser = OPTIMISERS[kind].make(model.parameters())
    go_on(model, optimiser, steps)
    write_tensors(tmp_path / "packed.safetensors", pack("user/7", model, optimiser))
    other = network(1)
    fresh = OPTIMISERS[kind].make(other.parameters())
    unpack("user/7", read_tensors(tmp_path / "packed.safetensors")[0], other, fresh)
    for one, theirs in ((model, optimiser), (other, fresh)):
        go_on(one, theirs, 2)
    assert same(model.state_dict(), other.state_dict())
    assert same(pack("a", model, optimiser), pack("a", other, fresh))


def test_names_tell_weights_buffers_and_each_parameters_moments_apart():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    optimiser = OPTIMISERS["adam"].make(model.parameters())
    assert set(pack("net", model, optimiser)) == {f"net/module/{name}" for name in model.state_dict()}
    go_on(model.double(), optimiser, 1)
    moments = {f"net/optimiser/{i}/{field}" for i in range(4) for field in ("step", "exp_avg", "exp_avg_sq")}
    assert set(pack("net", model, optimiser)) == moments | {f"net/module/{name}" for name in model.state_dict()}


def test_an_optimiser_keeps_its_own_rate():
    model = network(0)
    slow = Optimiser("sgd", 0.001, momentum=0.9).make(model.parameters())
    unpack("a", pack("a", model, Optimiser("sgd", 0.1, momentum=0.9).make(model.parameters())), model, slow)
    assert slow.param_groups[0]["lr"] == 0.001


def test_a_stage_without_parameters_has_no_optimiser_and_packs_to_nothing():
    stage = nn.Sequential(nn.Flatten(), nn.ReLU())
    optimiser = OPTIMISERS["adam"].make(stage.parameters())
    assert optimiser is None
    assert pack("stage", stage, optimiser) == {}
    unpack("stage", {}, stage, optimiser)


def test_packs_of_several_owners_lie_side_by_side():
    first, second = network(0), network(1)
    both = pack("a", first) | pack("ab", second)
    restored = copy.deepcopy(second)
    unpack("a", both, restored)
    assert same(restored.state_dict(), first.state_dict())
    unpack("ab", both, restored)
    assert same(restored.state_dict(), second.state_dict())


def test_weights_that_are_missing_are_told():
    packed = pack("a", network(0))
    del packed["a/module/0.weight"]
    with pytest.raises(RuntimeError, match=r"Missing key.*0\.weight"):
        unpack("a", packed, network(0))


def test_under_a_prefix_are_those_that_begin_with_it_without_it():
    one, two = torch.zeros(1), torch.ones(1)
    assert under("a/", {"a/x": one, "b/a/x": two, "ab": two}) == {"x": one}
