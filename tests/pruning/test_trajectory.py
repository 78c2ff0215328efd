import math
import re
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fishbone.errors import InputError
from fishbone.nn.checkpoint import Checkpoint
from fishbone.pruning.trajectory import follow, score_dampings


def test_a_damping_whose_network_blows_up_counts_as_the_worst_and_the_others_are_judged():
    def operation(model, gamma):
        def prune(sparsity):
            torch.linalg.cholesky(torch.full((2, 2), math.nan) if gamma < 1e-3 else torch.eye(2))

        return SimpleNamespace(model=model, prune=prune)

    scores = score_dampings(nn.Linear(2, 2), [1e-2, 1e-4, 1e-5], operation, [0.5, 0.9], lambda model: 0.7)
    assert scores == {"0.01": 0.7, "0.0001": -math.inf, "1e-05": -math.inf}


def spoiling(model: nn.Module, after: int):
    """A pruner whose ``after``-th step makes a weight infinite."""
    taken = []

    def prune(sparsity):
        taken.append(sparsity)
        if len(taken) == after:
            with torch.no_grad():
                model.weight[0, 0] = math.inf
        return {}

    mask = torch.tensor([True, False])
    return SimpleNamespace(model=model, prune=prune, mask=mask, state=lambda: dict(model.state_dict()))


def test_a_damping_that_leads_to_a_network_that_is_not_finite_cannot_be_chosen():
    def operation(model, gamma):
        return spoiling(model, after=2 if gamma < 1e-3 else 9)

    scores = score_dampings(nn.Linear(2, 2), [1e-2, 1e-4], operation, [0.5, 0.9], lambda model: 0.7)
    assert scores == {"0.01": 0.7, "0.0001": -math.inf}


def test_a_network_that_is_not_finite_ends_the_trajectory_and_is_not_kept(tmp_path):
    kept, checkpoint = [], Checkpoint(tmp_path / "c.safetensors", {})
    message = "gammas: at sparsity 0.9 the network is not finite. Give greater ones."
    with pytest.raises(InputError, match=re.escape(message)):
        follow(
            spoiling(nn.Linear(2, 2), after=2), [0.5, 0.9], ("accuracy", lambda model: 0.7), checkpoint, {},
            keep=lambda operation, sparsity: kept.append(sparsity),
        )  # fmt: skip
    assert kept == [0.5]
    assert len(checkpoint.load()[1]["history"]) == 1


def test_a_curvature_that_cannot_be_inverted_ends_the_trajectory_likewise():
    def prune(sparsity):
        torch.linalg.cholesky(torch.full((2, 2), math.nan))

    operation = SimpleNamespace(model=nn.Linear(2, 2), prune=prune)
    with pytest.raises(InputError, match=r"^gammas: at sparsity 0\.5 the curvature cannot be inverted .*Give greater"):
        follow(operation, [0.5], ("accuracy", lambda model: 0.7), Checkpoint(None, {}), {})
