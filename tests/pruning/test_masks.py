"""Ranking, counts and schedules."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fishbone.pruning.masks import count, density_steps, keep, saliency


@given(st.integers(1, 300), st.lists(st.integers(0, 99), min_size=1, max_size=4), st.integers(0, 5))
def test_counts_are_exact_and_removed_weights_stay_removed(size, percents, levels):
    scores = torch.randint(0, levels + 1, (size,), generator=torch.Generator().manual_seed(size)).float()  # many ties
    mask = torch.ones(size, dtype=torch.bool)
    for percent in sorted(percents):
        after = keep(scores, mask, percent / 100)
        assert int((~after).sum()) == percent * size // 100
        assert not (after & ~mask).any()
        removed = mask & ~after
        if removed.any() and after.any():
            assert scores[removed].max() <= scores[after].min()
        assert torch.equal(keep(scores, after, percent / 100), after)  # again: nothing happens
        mask = after


def test_a_weight_that_is_zero_is_not_taken_for_removed():
    scores = torch.tensor([0.0, 0.0, 3.0, 4.0])
    mask = torch.tensor([True, False, True, True])
    assert keep(scores, mask, 0.25).tolist() == mask.tolist()


def test_sparsity_cannot_go_down():
    with pytest.raises(ValueError, match="below the present"):
        keep(torch.ones(4), torch.tensor([True, False, False, True]), 0.25)


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
