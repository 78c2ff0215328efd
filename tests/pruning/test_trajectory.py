import math
from types import SimpleNamespace

import torch
from torch import nn

from fishbone.pruning.trajectory import score_dampings


def test_a_damping_whose_network_blows_up_counts_as_the_worst_and_the_others_are_judged():
    def operation(model, gamma):
        def prune(sparsity):
            torch.linalg.cholesky(torch.full((2, 2), math.nan) if gamma < 1e-3 else torch.eye(2))

        return SimpleNamespace(model=model, prune=prune)

    scores = score_dampings(nn.Linear(2, 2), [1e-2, 1e-4, 1e-5], operation, [0.5, 0.9], lambda model: 0.7)
    assert scores == {"0.01": 0.7, "0.0001": -math.inf, "1e-05": -math.inf}
