"""Ranking, counts and schedules."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fishbone.curvature.layout import Layout
from fishbone.pruning.masks import count, cubic_steps, density_steps, geometric_steps, group_losses, saliency, surviving
from fishbone.pruning.patterns import UNSTRUCTURED, Pattern, check, groups, parse_pattern


def without_lowest(scores, mask, sparsity):
    return surviving(scores, mask, sparsity, Layout(("w",), ((len(mask), 1),)))


@given(st.integers(1, 300), st.lists(st.integers(0, 99), min_size=1, max_size=4), st.integers(0, 5))
def test_counts_are_exact_and_removed_weights_stay_removed(size, percents, levels):
    scores = torch.randint(0, levels + 1, (size,), generator=torch.Generator().manual_seed(size)).float()  # many ties
    mask = torch.ones(size, dtype=torch.bool)
    for percent in sorted(percents):
        after = without_lowest(scores, mask, percent / 100)
        assert int((~after).sum()) == percent * size // 100
        assert not (after & ~mask).any()
        removed = mask & ~after
        if removed.any() and after.any():
            assert scores[removed].max() <= scores[after].min()
        assert torch.equal(without_lowest(scores, after, percent / 100), after)  # again: nothing happens
        mask = after


def test_a_weight_that_is_zero_is_not_taken_for_removed():
    scores = torch.tensor([0.0, 0.0, 3.0, 4.0])
    mask = torch.tensor([True, False, True, True])
    assert without_lowest(scores, mask, 0.25).tolist() == mask.tolist()


def test_sparsity_cannot_go_down():
    with pytest.raises(ValueError, match="below the present"):
        without_lowest(torch.ones(4), torch.tensor([True, False, False, True]), 0.25)


def test_count_is_not_fooled_by_decimal_fractions():
    assert [count(s, 10) for s in (0.7, 0.29999999999999993, 0.9)] == [7, 3, 9]
    assert count(0.95, 19072) == 18118


def test_saliency_is_obs_and_without_curvature_ranks_by_magnitude():
    weights = torch.tensor([3.0, -1.0, 2.0])
    assert saliency(weights, torch.tensor([1.0, 0.5, 2.0])).tolist() == [4.5, 1.0, 1.0]
    assert saliency(weights, torch.full((3,), 7.0)).argsort().tolist() == weights.abs().argsort().tolist()


@given(st.sets(st.integers(1, 99), min_size=1, max_size=5), st.integers(1, 8))
def test_schedule_hits_every_sparsity_and_never_cuts_density_by_more_than_it_says(percents, per_halving):
    wanted = [p / 100 for p in sorted(percents)]
    steps = density_steps(wanted, per_halving)
    assert [s for s in steps if s in wanted] == wanted
    densities = [1.0, *(1 - s for s in steps)]
    halvings = [math.log2(a / b) for a, b in itertools.pairwise(densities)]
    assert all(h > 0 for h in halvings)
    assert max(halvings) <= 1.5 / per_halving + 1e-9


def test_four_steps_halve_the_density():
    assert [round(s, 3) for s in density_steps([0.5, 0.7], 4)] == [0.159, 0.293, 0.405, 0.5, 0.578, 0.644, 0.7]


LAYOUT = Layout(("conv", "linear"), ((4, 8, 3, 1), (6, 8)))  # 96 + 48 weights
EVERY = torch.ones(144, dtype=torch.bool)


def scored(pattern, sparsity, scope="global", mask=EVERY, seed=0):
    scores = torch.rand(144, generator=torch.Generator().manual_seed(seed))
    return scores, surviving(scores, mask, sparsity, LAYOUT, parse_pattern(pattern), scope)


@pytest.mark.parametrize("pattern", ["block-4", "block-5", "channels"])
def test_groups_go_whole_and_the_cheapest_first(pattern):
    scores, kept = scored(pattern, 0.5)
    group = groups(LAYOUT, parse_pattern(pattern))
    size = torch.bincount(group)
    left = torch.bincount(group, kept.int()).int()
    assert ((left == 0) | (left == size)).all()
    assert 72 - int(size.max()) < int((~kept).sum()) <= 72
    mean = torch.bincount(group, scores) / size
    assert mean[left == 0].max() <= mean[left > 0].min()
    _, more = scored(pattern, 0.8, mask=kept)
    assert not (more & ~kept).any()


def test_channels_are_rows_of_the_weight_matrix():
    _, kept = scored("channels", 0.5)
    for block in LAYOUT.blocks(kept):
        assert ((block.sum(1) == 0) | block.all(1)).all()


@pytest.mark.parametrize(("pattern", "sparsity", "left"), [("2:4", 0.5, 2), ("1:8", 0.875, 1), ("2:4", 0.25, 3)])
def test_of_every_m_inputs_to_an_output_n_stay(pattern, sparsity, left):
    scores, kept = scored(pattern, sparsity)
    m = parse_pattern(pattern).size
    for name, tensor in LAYOUT.tensors(kept).items():
        by_input = tensor.movedim(1, -1).unflatten(-1, (-1, m)).sum(-1)
        assert (by_input == left).all(), name
    for block, score in zip(LAYOUT.tensors(kept).values(), LAYOUT.tensors(scores).values(), strict=True):
        first, value = (t.movedim(1, -1).flatten()[:m] for t in (block, score))
        assert value[~first].max() < value[first].min()


def test_n_of_m_says_what_it_cannot_do():
    for sparsity in (0.2, 0.6):
        with pytest.raises(ValueError, match=rf"2:4 goes from sparsity 0\.25 to 0\.5, not to {sparsity}"):
            check(LAYOUT, parse_pattern("2:4"), sparsity)
    check(LAYOUT, parse_pattern("3:4"), 0.25)
    check(LAYOUT, parse_pattern("1:2"), 0.5)
    with pytest.raises(ValueError, match="conv has 8 inputs, which 3 does not divide"):
        check(LAYOUT, parse_pattern("1:3"), 0.6)
    for text in ("4:2", "block-0", "rows", "2:2"):
        with pytest.raises(ValueError, match="unknown pattern"):
            parse_pattern(text)


@pytest.mark.parametrize("pattern", ["unstructured", "block-4", "channels"])
def test_layer_scope_gives_each_layer_the_same_sparsity(pattern):
    _, kept = scored(pattern, 0.5, "layer")
    assert [int((~block).sum()) for block in LAYOUT.blocks(kept)] == [48, 24]


def test_schedules_end_where_they_should_and_rise():
    for make in (cubic_steps, geometric_steps):
        for steps in (1, 2, 15):
            path = make(0.9, steps)
            assert len(path) == steps
            assert path[-1] == 0.9
            assert all(a < b for a, b in itertools.pairwise([0, *path]))
    densities = [1.0, *(1 - s for s in geometric_steps(0.9, 5))]
    assert {round(b / a, 9) for a, b in itertools.pairwise(densities)} == {round(0.1**0.2, 9)}
    assert cubic_steps(0.8, 4)[0] == pytest.approx(0.8 * (1 - 0.75**3))


def test_a_groups_loss_is_that_of_removing_it_with_compensation():
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(7, 7, generator=generator, dtype=torch.float64)
    fisher = factor @ factor.T + 0.1 * torch.eye(7, dtype=torch.float64)
    inverse, weights = torch.linalg.inv(fisher), torch.randn(7, generator=generator, dtype=torch.float64)
    group = torch.tensor([0, 0, 0, 1, 1, 1, 2])
    losses = group_losses(weights, group, lambda p: inverse[p[:, :, None], p[:, None]])
    for g in range(3):
        gone = group == g
        change = torch.zeros(7, dtype=torch.float64)
        change[gone] = -weights[gone]
        change[~gone] = torch.linalg.solve(fisher[~gone][:, ~gone], fisher[~gone][:, gone] @ weights[gone])
        expected = (0.5 * change @ fisher @ change).item()
        assert losses[gone].sum().item() == pytest.approx(expected, rel=1e-9)
        assert losses[gone].unique().numel() == 1
    single = group_losses(weights, torch.arange(7), lambda p: inverse[p[:, :, None], p[:, None]])
    torch.testing.assert_close(single, saliency(weights, inverse.diagonal()), rtol=1e-9, atol=0)


def test_a_group_whose_matrix_is_indefinite_is_ranked_last():
    weights, group = torch.ones(4, dtype=torch.float64), torch.tensor([0, 0, 1, 1])
    matrices = torch.tensor([[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]], dtype=torch.float64)
    losses = group_losses(weights, group, lambda p: matrices[p[:, 0] // 2])
    kept = surviving(losses, torch.ones(4, dtype=torch.bool), 0.5, Layout(("w",), ((2, 2),)), parse_pattern("block-2"))
    assert kept.tolist() == [True, True, False, False]


@given(st.lists(st.floats(-5, 5) | st.just(float("nan")) | st.just(1.0), min_size=1, max_size=30), st.data())
def test_lowest_scores_are_those_of_a_stable_sort(values, data):
    scores = torch.tensor(values, dtype=torch.float64)
    number = data.draw(st.integers(1, len(values)))
    kept = without_lowest(scores.clone(), torch.ones(len(values), dtype=torch.bool), number / len(values))
    gone = scores.argsort(stable=True)[:number]
    assert sorted(gone.tolist()) == (~kept).nonzero()[:, 0].tolist()


def test_patterns_are_what_their_names_say():
    found = [parse_pattern(text) for text in ("unstructured", "channels", "block-12", "2:4")]
    assert found == [UNSTRUCTURED, Pattern("channels"), Pattern("block", 12), Pattern("n_of_m", 4, 2)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("unstructured", list(range(18))),
        ("channels", [0] * 4 + [1] * 4 + [2] * 4 + [3] * 2 + [4] * 2 + [5] * 2),
        ("block-3", [0, 0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 5, 6, 6, 7, 7, 8, 8]),  # a block ends with its output
        ("1:2", [0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 6, 7, 7, 8, 8]),  # inputs at one kernel position
    ],
)
def test_groups_are_numbered_through_the_layers(pattern, expected):
    layout = Layout(("conv", "linear"), ((3, 2, 1, 2), (3, 2)))
    assert groups(layout, parse_pattern(pattern)).tolist() == expected


def test_n_of_m_of_many_inputs_groups_neighbours_at_one_position():
    layout = Layout(("conv",), ((2, 4, 1, 2),))
    one = [0, 1, 0, 1, 2, 3, 2, 3]
    assert groups(layout, parse_pattern("1:2")).tolist() == one + [4 + group for group in one]
