import pytest
import torch

from fishbone.curvature.layout import Layout, prunable
from fishbone.errors import InputError
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.models import build
from fishbone.nn.precision import uses_bf16
from fishbone.nn.train import Recipe, train
from fishbone.pruning.retraining import retrain

CPU = torch.device("cpu")


def test_auto_is_float32_where_the_libraries_may_not_use_wide_kernels(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert not uses_bf16("auto", CPU)
    assert uses_bf16("bf16", CPU)
    assert not uses_bf16("fp32", CPU)


def test_auto_takes_bf16_only_where_the_convolutions_have_it():
    assert not uses_bf16("auto", CPU) or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def recipe(**changes) -> Recipe:
    usual = {
        "epochs": 2, "batch": 8, "learning_rate": 0.1, "warmup": 0.3, "momentum": 0.9, "weight_decay": 0.0,
        "padding": 0, "flip": False, "early_epochs": 0, "early_size": 8, "precision": "fp32", "device": "cpu",
    }  # fmt: skip
    return Recipe(**usual | changes)


def noise(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    return torch.randn(count, 1, 8, 8, generator=draws), torch.randint(0, 3, (count,), generator=draws)


def test_training_killed_after_any_epoch_goes_on_to_the_same_bits(tmp_path):
    architecture = {"name": "resnet", "depth": 8, "width": 4, "channels": 1, "classes": 3}
    plan = recipe(epochs=3, padding=1, flip=True, weight_decay=0.01, early_epochs=1, early_size=6)
    whole = build(architecture)
    history = train(whole, noise(32), noise(8), plan, 0, Checkpoint(None, {}))
    for epochs in (1, 2):
        path = tmp_path / f"{epochs}.safetensors"

        def kill(row: dict, last: int = epochs) -> None:
            if row["step"] == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(build(architecture), noise(32), noise(8), plan, 0, Checkpoint(path, {}), kill)
        resumed = build(architecture, seed=1)
        assert train(resumed, noise(32), noise(8), plan, 0, Checkpoint(path, {})) == history
        assert all(torch.equal(value, whole.state_dict()[name]) for name, value in resumed.state_dict().items())


@pytest.mark.parametrize(
    ("rate", "place"), [(1e30, "epoch 1: the loss of step 2"), (3e38, "epoch 1: the loss of step")]
)
def test_training_stops_at_the_first_loss_that_is_not_finite_and_keeps_no_checkpoint(tmp_path, rate, place):
    model = build({"name": "resnet", "depth": 8, "width": 4, "channels": 1, "classes": 3})
    checkpoint = Checkpoint(tmp_path / "c.safetensors", {})
    with pytest.raises(InputError, match=rf"^learning_rate: training diverged in {place}.*Lower it"):
        train(model, noise(32), noise(8), recipe(learning_rate=rate), 0, checkpoint)
    assert not (tmp_path / "c.safetensors").exists()


def test_weights_spoilt_by_the_last_step_of_an_epoch_are_noticed_before_they_are_kept(tmp_path):
    model = build({"name": "resnet", "depth": 8, "width": 4, "channels": 1, "classes": 3})
    one_step = recipe(batch=32, learning_rate=1e38)
    with pytest.raises(InputError, match=r"diverged in epoch 1: the validation loss"):
        train(model, noise(32), noise(8), one_step, 0, Checkpoint(tmp_path / "c.safetensors", {}))
    assert not (tmp_path / "c.safetensors").exists()


def test_training_of_what_pruning_left_stops_likewise():
    model = build({"name": "resnet", "depth": 8, "width": 4, "channels": 1, "classes": 3})
    layout = Layout.of(model, prunable(model))
    mask = torch.ones(layout.size, dtype=torch.bool)
    mask[: layout.size // 4] = False
    place = r"^retraining\.learning_rate: training diverged in epoch 1 at sparsity 0\.2\d+: .*Lower it"
    with pytest.raises(InputError, match=place):
        retrain(model, layout, mask, noise(32), noise(8), recipe(learning_rate=1e30), 0)
