import re

import pytest
import torch
from torch import Tensor

from fishbone.errors import InputError
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.loop import resume

STEPS = 5


class Walk:
    """Each step moves a vector by a draw that depends on where it is; ``ending`` is a step that goes wrong."""

    def __init__(self, ending: int | None = None, error: BaseException | None = None):
        self.place, self.taken, self.ending, self.error = torch.zeros(3), 0, ending, error or KeyboardInterrupt()

    def step(self, number: int) -> dict[str, float]:
        if number == self.ending:
            raise self.error
        self.taken += 1
        self.place = self.place + torch.rand(3, generator=torch.Generator().manual_seed(number)) / (1 + self.place)
        return {"zeta": self.place[0].item(), "alpha": self.taken}

    def pack(self) -> tuple[dict[str, Tensor], dict[str, int]]:
        return {"place": self.place}, {"taken": self.taken}

    def unpack(self, tensors, values) -> None:
        self.place, self.taken = tensors["place"], values["taken"]


@pytest.mark.parametrize("killed", range(1, STEPS + 1))
def test_work_killed_in_any_step_goes_on_to_the_bits_of_work_that_was_not(tmp_path, killed):
    whole, rows = Walk(), []
    history = resume(whole, STEPS, Checkpoint(None, {}), rows.append)
    path, first, second = tmp_path / "c.safetensors", [], []
    with pytest.raises(KeyboardInterrupt):
        resume(Walk(killed), STEPS, Checkpoint(path, {"seed": 0}), first.append)
    resumed = Walk()
    assert resume(resumed, STEPS, Checkpoint(path, {"seed": 0}), second.append) == history
    assert torch.equal(resumed.place, whole.place)
    assert resumed.taken == STEPS
    assert [row["step"] for row in first] == list(range(1, killed))
    assert first + second == rows == history


def test_a_row_begins_with_its_step_and_keeps_the_order_of_its_work_through_a_checkpoint(tmp_path):
    path = tmp_path / "c.safetensors"
    resume(Walk(), 2, Checkpoint(path, {}), lambda row: None)
    history = resume(Walk(), 3, Checkpoint(path, {}), lambda row: None)
    assert [list(row) for row in history] == [["step", "zeta", "alpha"]] * 3


def test_a_checkpoint_of_other_work_is_not_taken(tmp_path):
    path = tmp_path / "c.safetensors"
    resume(Walk(), 2, Checkpoint(path, {"seed": 0}), lambda row: None)
    other = Walk()
    history = resume(other, 1, Checkpoint(path, {"seed": 1}), lambda row: None)
    assert [row["alpha"] for row in history] == [1]
    assert other.taken == 1


def test_finished_work_is_brought_to_its_end_without_a_step(tmp_path):
    path, rows = tmp_path / "c.safetensors", []
    done = Walk()
    history = resume(done, 2, Checkpoint(path, {}), lambda row: None)
    again = Walk(ending=1)
    assert resume(again, 2, Checkpoint(path, {}), rows.append) == history
    assert torch.equal(again.place, done.place)
    assert rows == []


def test_a_step_that_fails_leaves_the_checkpoint_of_the_one_before(tmp_path):
    path, rows = tmp_path / "c.safetensors", []
    failure = InputError("diverged", field="rate", remedy="Lower it.")
    with pytest.raises(InputError, match=re.escape("rate: diverged. Lower it.")):
        resume(Walk(3, failure), STEPS, Checkpoint(path, {}), rows.append)
    _, state = Checkpoint(path, {}).load()
    assert state["history"] == rows
    assert [row["step"] for row in rows] == [1, 2]
    assert state["work"] == {"taken": 2}


def test_a_row_is_reported_once_the_checkpoint_holds_it(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c.safetensors", {})
    held = []
    resume(Walk(), 3, checkpoint, lambda row: held.append(checkpoint.load()[1]["history"][-1] == row))
    assert held == [True] * 3
