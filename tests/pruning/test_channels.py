import pytest
import torch
from torch import nn

from fishbone.curvature.layout import Layout
from fishbone.nn.models import build
from fishbone.pruning import channels
from fishbone.pruning.channels import channel_costs, remove, shrink, without_channels

ARCHITECTURE = {"name": "resnet", "depth": 8, "width": 16, "channels": 1, "classes": 3}
NAMES = ["blocks.0", "blocks.1", "blocks.2"]


class Identity:
    """Q = I, of which nothing is stored."""

    def __init__(self, parts):
        self.parts = parts

    def refine(self, model, mask, step):
        return {}

    def product(self, vectors, part):
        return vectors

    def diagonal(self, part):
        return torch.ones(self.parts[part])


class Dense:
    """Q given as one matrix for each part."""

    def __init__(self, matrices):
        self.matrices, self.parts = matrices, [len(matrix) for matrix in matrices]

    def refine(self, model, mask, step):
        return {}

    def product(self, vectors, part):
        return vectors @ self.matrices[part].to(vectors.dtype)

    def diagonal(self, part):
        return self.matrices[part].diagonal().to(torch.float32)


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = build(ARCHITECTURE).eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return made


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(64, 1, 12, 12, generator=generator), torch.randint(0, 3, (64,), generator=generator)


def layout(model) -> Layout:
    return Layout.of(model, tuple(f"{name}.conv2.weight" for name in NAMES))


def identity(model) -> Identity:
    return Identity(layout(model).sizes)


def test_the_smaller_network_computes_what_the_masked_one_computes(model, data):
    costs = channel_costs(model, NAMES, data[0][:1])
    masked, kept = remove(model, layout(model), identity(model), costs, 0.5)
    small = without_channels(masked, kept)
    with torch.no_grad():
        expected, found = masked(data[0]), small(data[0])
    assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()
    counts = {name: int(channels.sum()) for name, channels in kept.items()}
    assert {name: small.get_submodule(name).conv1.out_channels for name in NAMES} == counts
    assert {name: small.get_submodule(name).conv2.in_channels for name in NAMES} == counts
    assert sum(counts.values()) < 0.7 * (16 + 32 + 64)
    assert all(count % 8 == 0 for count in counts.values())


def test_the_first_network_is_left_as_it_was(model, data):
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    shrink(model, 0.5, data, data, gammas=[1e-3], seed=0)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_columns_that_stay_are_moved_to_the_joint_optimum(model):
    """θ = θ0 - Q[:, S] (Q_SS)^-1 θ0_S, with Q known."""
    first = Layout.of(model, ("blocks.0.conv2.weight",))
    generator = torch.Generator().manual_seed(2)
    factor = torch.randn(first.size, 20, generator=generator, dtype=torch.float64)
    q = torch.eye(first.size, dtype=torch.float64) + factor @ factor.T / 40
    before = first.read(model).double()
    masked, kept = remove(model, first, Dense([q]), [1.0], 0.5)
    gone = channels._columns(~kept["blocks.0"], first.shapes[0]).flatten()
    expected = before - q[:, gone] @ torch.linalg.solve(q[gone][:, gone], before[gone])
    expected[gone] = 0
    assert gone.double().mean() == 0.5
    assert (first.read(masked).double() - expected).abs().max() < 2e-3 * before.abs().max()


def test_cheap_columns_go_first_for_what_their_channel_costs(model):
    weights = layout(model)
    with torch.no_grad():
        model.get_submodule("blocks.1").conv2.weight[:, :16] *= 1e-3
    kept = remove(model, weights, identity(model), [1.0, 1.0, 1.0], 16 / 112)[1]
    assert kept["blocks.1"].tolist() == 16 * [False] + 16 * [True]
    dear = remove(model, weights, identity(model), [1.0, 1e-9, 1.0], 16 / 112)[1]
    assert dear["blocks.1"].all()


def test_a_channels_cost_is_what_both_convolutions_do_for_it(model, data):
    costs = channel_costs(model, NAMES, data[0][:1])
    assert costs == [144.0 * (16 * 9 + 16 * 9), 36.0 * (16 * 9 + 32 * 9), 9.0 * (32 * 9 + 64 * 9)]


@pytest.mark.parametrize("fraction", [0.2, 0.3, 0.5, 0.6])
def test_blocks_keep_multiples_of_eight_and_the_fraction_is_met_to_within_four_channels(model, fraction):
    kept = remove(model, layout(model), identity(model), [1.0, 1.0, 1.0], fraction)[1]
    counts = [int(channels.sum()) for channels in kept.values()]
    assert all(count % 8 == 0 for count in counts)
    assert abs(sum(counts) - (1 - fraction) * 112) <= 4.5


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.9])
def test_blocks_of_fewer_than_sixteen_stay_whole_and_the_others_give_for_them(fraction):
    torch.manual_seed(3)
    narrow = build(ARCHITECTURE | {"width": 8}).eval()
    kept = remove(narrow, layout(narrow), identity(narrow), [1.0, 1.0, 1.0], fraction)[1]
    counts = [int(channels.sum()) for channels in kept.values()]
    assert counts[0] == 8
    assert min(counts) == 8
    assert abs(sum(counts) - max(24, (1 - fraction) * 56)) <= 4.5


def test_channels_that_stay_are_the_best_also_where_rounding_brings_some_back(model):
    """With Q = I nothing is compensated, so scores stay as they are and the first say it all."""
    weights = layout(model)
    kept = remove(model, weights, identity(model), [1.0, 1.0, 1.0], 0.45)[1]
    for name, own in kept.items():
        columns = model.get_submodule(name).conv2.weight.detach().square().sum((0, 2, 3))
        assert columns[own].min() > columns[~own].max()


def test_rounding_goes_up_where_most_would_be_lost():
    scores = [torch.arange(32.0), torch.arange(32.0)]
    kept = [torch.arange(32) >= 32 - count for count in (15, 9)]
    assert [int(own.sum()) for own in channels._rounded(kept, scores)] == [16, 8]
    assert channels._rounded(kept, scores)[0].nonzero()[:, 0].tolist() == list(range(16, 32))
    kept = [torch.zeros(32, dtype=torch.bool), torch.ones(12, dtype=torch.bool)]
    assert [int(own.sum()) for own in channels._rounded(kept, [scores[0], scores[1][:12]])] == [8, 12]


def test_what_cannot_be_shrunk_is_refused(model, data):
    with pytest.raises(ValueError, match="no residual blocks"):
        shrink(nn.Sequential(nn.Conv2d(1, 3, 3)), 0.5, data, data, gammas=[1e-3], seed=0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        shrink(model, 1.0, data, data, gammas=[1e-3], seed=0)
