"""Networks kept on the way of a trajectory."""

import copy

import pytest
import torch
from torch import nn

from fishbone.curvature.isotropic import Isotropic
from fishbone.curvature.layout import Layout
from fishbone.errors import InputError
from fishbone.nn.checkpoint import Checkpoint
from fishbone.pruning.compensation import Solver
from fishbone.pruning.copies import Copies
from fishbone.pruning.pruner import Pruner, Surgery
from fishbone.pruning.trajectory import Saved, follow

STEPS = [0.25, 0.5, 0.75]


def pruner() -> Pruner:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).eval()
    surgery = Surgery("magnitude", "none", 10, Solver(1, 1e-3))
    return Pruner(model, Layout.of(model, ("0.weight",)), Isotropic(16), surgery)


@pytest.fixture
def copies(tmp_path):
    (tmp_path / "copies").mkdir()
    return Copies(tmp_path / "copies", [0.25, 0.75])


def travel(copies, path, stop: int = 3) -> Pruner:
    """Prune as far as ``stop`` steps, as a run that is killed there."""
    made = pruner()
    follow(made, STEPS[:stop], ("judged", lambda model: 1.0), Checkpoint(path, {}), {"note": 2.0}, keep=copies.save)
    return made


def test_a_copy_gives_back_the_network_and_mask_of_its_sparsity_and_only_those_wanted_are_made(copies, tmp_path):
    made = travel(copies, tmp_path / "c")
    assert sorted(path.name for path in copies.folder.iterdir()) == ["0.25.safetensors", "0.75.safetensors"]
    for sparsity, single in zip(STEPS[::2], (1, 3), strict=True):
        expected = travel(Copies(copies.folder, []), None, single)
        network = copy.deepcopy(made.model)
        mask = copies.restore(network, sparsity)
        assert torch.equal(mask, expected.mask)
        assert all(torch.equal(network.state_dict()[n], value) for n, value in expected.model.state_dict().items())


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_trajectory_goes_on_where_the_copies_made_so_far_are_there(copies, tmp_path, stop):
    travel(copies, tmp_path / "c", stop)
    assert copies.resumed(Checkpoint(tmp_path / "c", {}), STEPS) == Saved(stop, {"note": 2.0})
    assert (tmp_path / "c").exists()


def test_a_trajectory_whose_copy_is_lost_begins_again(copies, tmp_path):
    travel(copies, tmp_path / "c", 2)
    (copies.folder / "0.25.safetensors").unlink()
    assert copies.resumed(Checkpoint(tmp_path / "c", {}), STEPS) is None
    assert not (tmp_path / "c").exists()


def test_there_is_nothing_to_resume_before_the_first_step(copies, tmp_path):
    assert copies.resumed(Checkpoint(tmp_path / "c", {}), STEPS) is None
    assert copies.resumed(Checkpoint(None, {}), STEPS) is None


def test_a_damaged_copy_is_refused(copies, tmp_path):
    made = travel(copies, tmp_path / "c")
    file = copies.folder / "0.25.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\xff")
    with pytest.raises(InputError, match="is damaged"):
        copies.restore(made.model, 0.25)


def test_removing_takes_the_folder_with_it(copies, tmp_path):
    travel(copies, tmp_path / "c")
    copies.remove()
    assert not copies.folder.exists()
