import copy

import pytest
import torch
from small_game import centralised, equal, faulty, fsl_gan, play

from fishbone.errors import FishboneError, InputError
from fishbone.files import write_tensors
from fishbone.gan.samples import draw
from fishbone.gan.training import train
from fishbone.nn.checkpoint import Checkpoint
from fishbone.wire.testing import Fault


def build(method):
    return fsl_gan() if method == "fsl_gan" else centralised()


def run(game, rounds, checkpoint, report=lambda row: None):
    return train(game, rounds, lambda generator: {"mean": float(draw(generator, 100, 0).mean())}, checkpoint, report)


@pytest.mark.parametrize("method", ["fsl_gan", "centralised"])
def test_run_resumed_after_any_round_ends_bit_for_bit_the_same(method, tmp_path):
    whole = build(method)
    history = run(whole, 3, Checkpoint(None, {}))
    for done in (1, 2):
        checkpoint = Checkpoint(tmp_path / f"{done}.safetensors", {})
        run(build(method), done, checkpoint)
        resumed, rows = build(method), []
        assert run(resumed, 3, checkpoint, rows.append) == history
        assert [row["step"] for row in rows] == list(range(done + 1, 4))
        expected, got = whole.pack(), resumed.pack()
        assert equal(expected[0], got[0])
        assert sorted(map(str, expected[1].items())) == sorted(map(str, got[1].items()))


def test_what_is_saved_fits_a_file_and_moments_are_in_it(tmp_path):
    game = fsl_gan()
    game.round(1)
    tensors, _ = game.pack()
    write_tensors(tmp_path / "c.safetensors", tensors)
    parties = [f"party/{device}/1/stage" for device in ("user0/device0", "user0/device2", "user1/device0")]
    for part in ("generator", *parties):
        assert tensors[f"{part}/optimiser/0/exp_avg"].abs().sum() > 0


def test_measuring_does_not_change_the_training():
    measured, bare = fsl_gan(), fsl_gan()
    run(measured, 2, Checkpoint(None, {}))
    play(bare)
    assert all(
        torch.equal(a, b) for a, b in zip(measured.generator.parameters(), bare.generator.parameters(), strict=True)
    )


def test_samples_depend_on_weights_and_seed_not_on_running_statistics():
    game = fsl_gan()
    game.round(1)
    other = copy.deepcopy(game.generator)
    for name, value in other.named_buffers():
        if "running" in name:
            value.fill_(7.0)
    first = draw(game.generator, 5, 0)
    assert (draw(other, 5, 0) == first).all()
    assert (draw(game.generator, 5, 1) != first).any()
    assert game.generator.training


def test_divergence_is_a_failure_that_names_the_learning_rate():
    game = fsl_gan()
    game.rounds.server.optimiser.param_groups[0]["lr"] = float("inf")
    with pytest.raises(InputError, match=r"^learning_rate\.fsl_gan: training diverged in round 1, step 2: .*Lower it"):
        run(game, 2, Checkpoint(None, {}))


def test_weights_spoilt_by_the_last_step_of_a_round_are_noticed_before_they_are_kept(tmp_path):
    game = fsl_gan()
    game.rounds.steps = 1
    game.rounds.server.optimiser.param_groups[0]["lr"] = float("inf")
    with pytest.raises(InputError, match=r"diverged in round 1: the largest of generator/\S+ is"):
        run(game, 2, Checkpoint(tmp_path / "c.safetensors", {}))
    assert not (tmp_path / "c.safetensors").exists()


def test_study_stops_where_a_user_diverges_though_others_are_left():
    game = fsl_gan()
    game.memory._hosts["user0/device2"].actor.module.register_forward_hook(lambda *_: torch.full((12, 1), torch.inf))
    with pytest.raises(InputError, match=r"^learning_rate\.fsl_gan: training diverged in round 1, .*user0.*Lower it"):
        run(game, 2, Checkpoint(None, {}))


def test_study_stops_where_a_user_fails_and_says_why():
    game = faulty(Fault("raise", kind="activation", receiver="user0/device2"))
    with pytest.raises(FishboneError, match=r"^round 1: user0 failed: .*RuntimeError: an injected fault$") as raised:
        run(game, 2, Checkpoint(None, {}))
    assert not isinstance(raised.value, InputError)


@pytest.mark.parametrize("what", ["drop", "corrupt", "nan"])
def test_study_goes_on_without_a_user_that_the_network_or_its_device_lost(what):
    game = faulty(Fault(what, kind="update", sender="user0/device2"))
    assert len(run(game, 2, Checkpoint(None, {}))) == 2
    assert len(game.absences) == 1


def test_numbers_that_only_a_user_keeps_end_nobodys_run():
    game = fsl_gan()
    played = game.round

    def round_(number):
        losses = played(number)
        finished = game.memory._hosts["user0/device2"].state.finished[number]
        finished["stage/module/dense.1.weight"][0, 0] = float("nan")
        return losses

    game.round = round_
    assert len(run(game, 2, Checkpoint(None, {}))) == 2


def test_divergence_in_one_place_is_noticed_at_once():
    game = build("centralised")
    game.discriminator_optimiser.param_groups[0]["lr"] = float("inf")
    with pytest.raises(InputError, match=r"^learning_rate\.centralised: .* diverged in round 1, step 1: the loss"):
        run(game, 2, Checkpoint(None, {}))


def spoil_statistics(game) -> None:
    next(value for name, value in game.generator.named_buffers() if "running_var" in name)[0] = float("inf")


def spoil_moments(game) -> None:
    next(iter(game.rounds.server.optimiser.state.values()))["exp_avg_sq"].flatten()[0] = float("inf")


def spoil_discriminator(game) -> None:
    next(iter(game.rounds.method.weights.values())).flatten()[0] = float("nan")


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (spoil_statistics, "generator/module/"),
        (spoil_moments, "generator/optimiser/"),
        (spoil_discriminator, "discriminator/"),
    ],
)
def test_whatever_the_next_round_starts_from_is_finite_or_not_kept(tmp_path, spoil, name):
    game = fsl_gan()
    played = game.round

    def round_(number):
        losses = played(number)
        spoil(game)
        return losses

    game.round = round_
    with pytest.raises(InputError, match=rf"^learning_rate\.fsl_gan: .* round 1: the largest of {name}"):
        run(game, 2, Checkpoint(tmp_path / "c.safetensors", {}))
    assert not (tmp_path / "c.safetensors").exists()
