import math
import re
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fishbone.errors import InputError
from fishbone.nn.checkpoint import Checkpoint
from fishbone.pruning.trajectory import Saved, follow, saved, score_dampings


def test_a_damping_whose_network_blows_up_counts_as_the_worst_and_the_others_are_judged():
    def operation(model, gamma):
        def prune(sparsity):
            torch.linalg.cholesky(torch.full((2, 2), math.nan) if gamma < 1e-3 else torch.eye(2))

        return SimpleNamespace(model=model, prune=prune)

    scores = score_dampings(nn.Linear(2, 2), [1e-2, 1e-4, 1e-5], operation, [0.5, 0.9], lambda model: 0.7)
    assert scores == {"0.01": 0.7, "0.0001": -math.inf, "1e-05": -math.inf}


def spoiling(model: nn.Module, after: int):
    """An operation whose ``after``-th step makes a weight infinite."""
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


class Halving:
    """An operation that removes the first weights and halves the others."""

    def __init__(self, start: float = 1.0):
        self.model = nn.Linear(4, 1, bias=False)
        nn.init.constant_(self.model.weight, start)
        self.mask = torch.ones(4, dtype=torch.bool)

    @torch.no_grad()
    def prune(self, sparsity: float) -> dict[str, float]:
        self.mask = torch.arange(4) >= round(4 * sparsity)
        self.model.weight.mul_(self.mask / 2)
        return {"predicted_loss": self.model.weight.sum().item()}

    def state(self) -> dict[str, torch.Tensor]:
        return {"mask": self.mask, "weight": self.model.weight.detach()}

    @torch.no_grad()
    def restore(self, state: dict[str, torch.Tensor]) -> None:
        self.mask = state["mask"]
        self.model.weight.copy_(state["weight"])


@pytest.mark.parametrize("killed", [1, 2, 3])
def test_a_trajectory_killed_in_any_step_goes_on_to_the_same_bits_and_keeps_its_notes(tmp_path, killed):
    steps, judge = [0.25, 0.5, 0.75], ("kept", lambda model: model.weight.sum().item())
    whole, calls, notes = Halving(), [], {"0.1": 0.5}
    history = follow(whole, steps, judge, Checkpoint(None, {}), {})
    assert [list(row) for row in history] == [["step", "sparsity", "kept", "predicted_loss"]] * 3
    assert [row["sparsity"] for row in history] == steps
    path = tmp_path / "c.safetensors"

    def retrain(operation: Halving, step: int) -> None:
        calls.append(step)
        if step == killed:
            raise KeyboardInterrupt

    assert saved(Checkpoint(path, {})) is None
    with pytest.raises(KeyboardInterrupt):
        follow(Halving(), steps, judge, Checkpoint(path, {}), notes, retrain=retrain)
    assert calls == list(range(1, killed + 1))
    assert saved(Checkpoint(path, {})) == (Saved(killed - 1, notes) if killed > 1 else None)
    resumed = Halving(7.0 if killed > 1 else 1.0)
    assert follow(resumed, steps, judge, Checkpoint(path, {}), notes) == history
    assert torch.equal(resumed.model.weight, whole.model.weight)
    assert saved(Checkpoint(path, {})) == Saved(3, notes)
