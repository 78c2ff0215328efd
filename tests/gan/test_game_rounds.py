import math
from dataclasses import replace

import pytest
import torch
from small_game import SETTING, Recorder, among, end, equal, faulty, fsl_gan, play

from fishbone.errors import FishboneError, InputError, Malformed, Rejected
from fishbone.gan import checks
from fishbone.gan.absences import Absence
from fishbone.gan.messages import Feedback
from fishbone.gan.methods.fsl_gan import FslGan
from fishbone.split.messages import Begun, Diverged, Update
from fishbone.wire.memory import Memory
from fishbone.wire.testing import Fault

OWNER, HELPER, LAST = "user0/device0", "user0/device1", "user0/device2"


def statuses(game):
    return [(one.round, one.step, one.user, one.status) for one in game.rounds.absences]


@pytest.mark.parametrize(
    ("what", "status"), [("drop", "unreachable"), ("raise", "failed"), ("corrupt", "malformed")], ids=str
)
def test_results_without_a_user_that_never_begins_are_those_of_the_others_alone(what, status):
    game = faulty(Fault(what, kind="begin", receiver="user2/device1", times=None))
    alone = among(fsl_gan(), ["user0", "user1"])
    assert play(game) == play(alone)
    assert equal(end(game), end(alone))
    assert statuses(game) == [(1, None, "user2", status), (2, None, "user2", status)]


MIDDLE = [
    (Fault("drop", kind="generated", receiver=OWNER, after=1), "unreachable"),
    (Fault("drop", kind="activation", receiver=HELPER, after=2), "unreachable"),
    (Fault("drop", kind="activation", receiver=LAST, after=3), "unreachable"),
    (Fault("raise", kind="activation", receiver=LAST, after=2), "failed"),
    (Fault("corrupt", kind="activation", sender=HELPER, after=2), "malformed"),
    (Fault("corrupt", kind="gradient", sender=LAST, after=3), "malformed"),
    (Fault("drop", kind="gradient", sender=HELPER, after=2), "unreachable"),
    (Fault("nan", kind="gradient", sender=HELPER, after=2), "malformed"),
    (Fault("nan", kind="gradient", sender=HELPER, after=3), "malformed"),
    (Fault("nan", kind="gradient", sender=LAST, after=2), "malformed"),
    (Fault("nan", kind="activation", sender=OWNER, after=2), "malformed"),
    (Fault("nan", kind="activation", sender=HELPER, after=3), "malformed"),
    (Fault("nan", kind="generated", receiver=OWNER, after=1), "malformed"),
    (Fault("drop", kind="feedback", sender=OWNER, after=1), "unreachable"),
    (Fault("reorder", kind="feedback", sender=OWNER, after=1), "unreachable"),
    (Fault("corrupt", kind="feedback", sender=OWNER, after=1), "malformed"),
    (Fault("nan", kind="feedback", sender=OWNER, after=1), "rejected"),
]


@pytest.fixture(scope="module")
def spoilt():
    """Losses and weights of a round whose user0 was lost in the second step, for the first fault of the list."""
    game = faulty(MIDDLE[0][0])
    return play(game, 1), end(game)


@pytest.mark.parametrize(("fault", "status"), MIDDLE, ids=str)
def test_whatever_a_user_fails_of_the_others_get_the_same_bits(fault, status, spoilt):
    game = faulty(fault)
    assert (play(game, 1), True) == (spoilt[0], equal(end(game), spoilt[1]))
    assert game.memory.struck[fault] == 1
    assert statuses(game) == [(1, 1, "user0", status)]
    assert all(value.isfinite().all() for value in end(game).values())
    healthy = fsl_gan()
    play(healthy, 1)
    assert not equal(end(game), end(healthy))


def test_step_without_a_user_weighs_those_that_remain_and_asks_nothing_for_its_images():
    seen, learnt = Recorder(), []
    game = faulty(Fault("nan", kind="feedback", sender=OWNER), observers=[seen])
    game.rounds.steps, game.rounds.server.learn = 1, learnt.append
    losses = game.round(1)
    second, third = (one.message for one in seen.of("feedback") if one.sender != OWNER)
    expected = [torch.zeros(6, 1, 8, 8), second.gradient * (10 / 30), third.gradient * (20 / 30)]
    assert torch.equal(torch.cat(expected), learnt[0])
    for name, loss in losses.items():
        assert loss == pytest.approx((10 * getattr(second, name) + 20 * getattr(third, name)) / 30, rel=1e-15)


def test_answer_to_an_earlier_step_is_not_taken():
    game = faulty(Fault("repeat", kind="feedback", sender=OWNER))
    play(game, 1)
    assert statuses(game) == [(1, 1, "user0", "replayed")]


def test_answer_after_the_deadline_is_not_waited_for():
    game = faulty(Fault("delay", kind="feedback", sender=OWNER, seconds=3.0), deadline=2.0)
    play(game, 1)
    assert statuses(game) == [(1, 0, "user0", "late")]
    in_time = faulty(Fault("delay", kind="feedback", sender=OWNER, seconds=1.0), deadline=2.0)
    assert play(in_time, 1) == play(fsl_gan(), 1)
    assert statuses(in_time) == []


def test_an_absence_is_told_and_written_down_with_its_reason(caplog):
    game = faulty(Fault("nan", kind="feedback", sender=OWNER, after=1))
    game.round(1)
    reason = "feedback on step 1: gradient is not finite"
    assert game.rounds.absences == [Absence(1, 1, "user0", "rejected", reason)]
    assert f"round 1 goes on without user0: rejected: {reason}" in caplog.text


def test_weights_that_are_not_finite_are_not_averaged():
    game = faulty(Fault("nan", kind="update", sender=HELPER))
    play(game, 1)
    assert statuses(game) == [(1, None, "user0", "rejected")]
    assert all(value.isfinite().all() for value in end(game).values())


def steps_of(game, address):
    """Finished round → steps of Adam that are in the moments that the device keeps of it."""
    packed = game.memory.pack()[address]
    counted = {round_: packed.tensors.get(f"{round_}/stage/optimiser/0/step") for round_ in packed.values["rounds"]}
    return {round_: 0 if step is None else int(step) for round_, step in counted.items()}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("drop", kind="begin", receiver=LAST),
        Fault("drop", kind="gradient", sender=HELPER, after=2),
        Fault("nan", kind="feedback", sender=OWNER, after=1),
        Fault("drop", kind="finish", receiver=HELPER),
        Fault("drop", kind="update", sender=HELPER),
        Fault("nan", kind="update", sender=LAST),
    ],
    ids=str,
)
def test_devices_of_a_user_never_go_on_from_different_rounds(fault):
    game = faulty(fault)
    play(game, 1)
    assert [absence.user for absence in game.rounds.absences] == ["user0"]
    game.round(2)
    assert len(game.rounds.absences) == 1
    for device in (OWNER, HELPER, LAST):
        assert steps_of(game, device) == {0: 0, 2: SETTING.steps}
    for device in ("user1/device0", "user2/device0", "user2/device1"):
        assert steps_of(game, device) == {1: SETTING.steps, 2: 2 * SETTING.steps}


ROUTES = [
    *((kind, "server", device) for kind in ("begin", "finish") for device in (OWNER, HELPER, LAST)),
    *((kind, device, "server") for kind in ("begun", "update") for device in (OWNER, HELPER, LAST)),
    ("generated", "server", OWNER),
    ("activation", OWNER, HELPER),
    ("activation", HELPER, LAST),
    ("gradient", LAST, HELPER),
    ("gradient", HELPER, OWNER),
    ("feedback", OWNER, "server"),
]
REPLIES = ("begun", "gradient", "feedback", "update")
QUICK = ("drop", "nan", "raise")  # in the default run; the others have a test of their own each, above
WITH_NUMBERS = ("begin", "generated", "activation", "gradient", "feedback", "update")


def faults():
    for kind, sender, receiver in ROUTES:
        passes = {0: " learning", 1: " judging"} if kind in ("activation", "gradient") else {0: ""}
        for what in ("drop", "delay", "repeat", "reorder", "corrupt", "nan", "raise"):
            if (what == "nan" and kind not in WITH_NUMBERS) or (what == "raise" and kind in REPLIES):
                continue
            seconds = 60.0 if what == "delay" else 0.0
            for after, when in passes.items():
                name = f"{what} {kind}{when} from {sender} to {receiver}"
                fault = Fault(what, kind, sender, receiver, after=after, seconds=seconds)
                yield pytest.param(fault, id=name, marks=[] if what in QUICK else pytest.mark.slow)


EXPECTED = {"drop": "late", "delay": "late", "reorder": "late", "corrupt": "malformed", "raise": "failed"}


@pytest.mark.parametrize("fault", list(faults()))
def test_a_fault_is_an_outcome_of_its_user_and_spoils_nothing_of_the_others(fault):
    game = faulty(fault, deadline=10.0)
    play(game)
    assert game.memory.struck[fault] == 1
    found = [(user, status) for _, _, user, status in statuses(game)]
    if fault.what == "repeat" and fault.kind not in REPLIES:
        assert found == []  # the second request is refused, and nobody listens
        assert game.memory.refused["replayed"] == 1
    elif fault.what == "repeat":
        assert found == [("user0", "replayed")]
    elif fault.what == "reorder" and fault.kind in REPLIES:
        assert found == [("user0", "late"), ("user0", "replayed")]
    elif fault.what == "nan":
        assert found == [("user0", "rejected" if fault.kind in ("feedback", "update") else "malformed")]
    else:
        assert found == [("user0", EXPECTED[fault.what])]
    assert all(value.isfinite().all() for value in end(game).values())
    for device in ("user1/device0", "user2/device0", "user2/device1"):
        assert steps_of(game, device) == {1: SETTING.steps, 2: 2 * SETTING.steps}


def test_a_device_that_lost_its_state_lets_its_user_begin_afresh():
    game = faulty()
    play(game, 1)
    game.memory.detach(HELPER)
    game.memory.attach(HELPER, fsl_gan().memory._hosts[HELPER].actor)
    game.round(2), game.round(3)
    assert (statuses(game), game.rounds.restarts) == ([], 1)
    assert game.costs(3)["restarts"] == 1
    for device in (OWNER, HELPER, LAST):
        assert steps_of(game, device) == {2: SETTING.steps, 3: 2 * SETTING.steps}
    resumed = fsl_gan()
    resumed.unpack(*game.pack())
    assert resumed.rounds.restarts == 1


def test_both_passes_of_a_step_share_one_deadline():
    passes = [Fault("delay", "activation", HELPER, LAST, after=after, seconds=6.0) for after in (0, 1)]
    seen = Recorder()
    game = faulty(*passes, deadline=10.0, observers=[seen])
    play(game, 1)
    assert statuses(game) == [(1, 0, "user0", "late")]
    [refusal] = seen.of("refusal")
    assert refusal.message.reason == "user0/device1 answered activation too late: the deadline was 4 s"
    alone = faulty(passes[0], deadline=10.0)
    play(alone, 1)
    assert statuses(alone) == []


class Lying(Memory):
    """Makes a divergence with a finite number of the feedback of user0."""

    def carry(self, envelope):
        arrived = super().carry(envelope)
        if arrived.sender == OWNER and isinstance(arrived.message, Feedback):
            return replace(arrived, message=Diverged("loss", 1.0))
        return arrived


def diverging_in(game, user):
    """The game in which this user begins with weights so large that its numbers overflow."""
    method = game.rounds.method
    large = FslGan({name: weight.clone().fill_(1e38) for name, weight in method.weights.items()})
    game.rounds.method = Chosen(method, user, large)
    return game


class Chosen:
    """A method whose ``user`` begins with other weights."""

    def __init__(self, method, user, other):
        self.method, self.user, self.other = method, user, other

    def discriminator(self, user):
        return (self.other if user == self.user else self.method).discriminator(user)

    def __getattr__(self, name):
        return getattr(self.method, name)


def test_a_user_that_diverges_is_left_out_like_any_other():
    game, lost = diverging_in(fsl_gan(), "user0"), faulty(Fault("drop", kind="generated", receiver=OWNER))
    assert (game.round(1), True) == (lost.round(1), equal(end(game), end(lost)))
    assert statuses(game) == [(1, 0, "user0", "diverged")]
    assert game.rounds.absences[0].reason.startswith("training diverged in round 1, step 1, user0: the largest ")


def test_a_divergence_that_is_none_is_no_answer():
    game = fsl_gan(carrier=Lying)
    play(game, 1)
    assert statuses(game) == [(1, 0, "user0", "malformed")]


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (
            Fault("nan", kind="update", times=None),
            InputError,
            r"^learning_rate\.fsl_gan: round 1: no user is left; .*Lower",
        ),
        (
            Fault("drop", kind="update", times=None),
            FishboneError,
            "^round 1: no user is left; of the first, user0, unreach",
        ),
    ],
)
def test_round_that_nobody_finishes_fails_and_the_learning_rate_is_blamed_only_for_numbers(fault, error, message):
    with pytest.raises(error, match=message) as raised:
        play(faulty(fault))
    assert type(raised.value) is error


def test_round_that_nobody_finishes_changes_no_weights_and_is_counted():
    game = faulty(Fault("drop", kind="begin", times=3))
    before = {name: value.clone() for name, value in end(game).items()}
    with pytest.raises(FishboneError, match="no user is left"):
        game.round(1)
    assert equal(end(game), before)
    assert [status for *_, status in statuses(game)] == ["unreachable"] * 3
    assert all(math.isfinite(loss) for loss in game.round(2).values())


def test_users_that_all_fail_in_one_step_leave_the_generator_as_it_was_after_the_step_before():
    game = faulty(Fault("drop", kind="feedback", times=None, after=3))
    one = fsl_gan()
    one.rounds.steps = 1
    with pytest.raises(FishboneError, match="no user is left"):
        game.round(1)
    one.round(1)
    parameters = zip(game.generator.parameters(), one.generator.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in parameters)
    assert [(absence.step, absence.user) for absence in game.rounds.absences] == [
        (1, "user0"),
        (1, "user1"),
        (1, "user2"),
    ]


def test_absences_are_among_the_costs_only_where_there_were_any():
    healthy, game = fsl_gan(), faulty(Fault("nan", kind="feedback", times=2))
    play(healthy), play(game)
    assert not any(name.startswith(("absences", "restarts")) for name in healthy.costs(2))
    assert game.costs(2)["absences_rejected"] == 2


def test_images_and_multiply_accumulates_are_those_of_the_steps_that_were_played():
    healthy, game = fsl_gan(), faulty(Fault("drop", kind="activation", receiver=LAST, after=2))
    play(healthy, 1), play(game, 1)
    whole, costs = healthy.costs(1), game.costs(1)
    assert whole["images"] == 3 * 12
    assert costs["images"] == 3 * 12 - 2 * 6  # user0 takes 6 a step, and answered one of three
    for device in ("device0", "device1", "device2"):
        assert 3 * costs[f"macs_user0_{device}"] == whole[f"macs_user0_{device}"]
    assert costs["macs_user1_device0"] == whole["macs_user1_device0"]
    assert 36 * costs["macs_server"] == 30 * whole["macs_server"]  # asked for two steps of user0, and in the third not


def test_absences_and_their_consequences_survive_a_checkpoint():
    faults = [Fault("drop", kind="update", sender=HELPER)]
    whole = faulty(*faults)
    play(whole)
    begun, resumed = faulty(*faults), fsl_gan()
    play(begun, 1)
    resumed.unpack(*begun.pack())
    resumed.round(2)
    assert equal(end(resumed), end(whole))
    assert statuses(resumed) == [(1, None, "user0", "unreachable")]
    assert resumed.rounds.absences == whole.rounds.absences
    assert steps_of(resumed, OWNER) == steps_of(whole, OWNER)


IMAGES = torch.zeros(2, 1, 4, 4)
SENT = {"w": torch.zeros(3), "b": torch.zeros(1)}
NAN = float("nan")


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (Begun(3, 0), Malformed, "begun is no feedback on step 3"),
        (Feedback(2, 0.0, 0.0, IMAGES), Malformed, "no feedback on step 3"),
        (Feedback(3, 0.0, 0.0, IMAGES[:1]), Rejected, r"gradient \(1, 1, 4, 4\) torch.float32 for \(2, 1, 4, 4\)"),
        (Feedback(3, 0.0, 0.0, IMAGES.double()), Rejected, "float64"),
        (Feedback(3, NAN, 0.0, IMAGES), Rejected, "not finite"),
        (Feedback(3, 0.0, math.inf, IMAGES), Rejected, "not finite"),
        (Feedback(3, 0.0, 0.0, IMAGES / 0), Rejected, "not finite"),
    ],
)
def test_unusable_feedback_is_refused(answer, error, message):
    with pytest.raises(error, match=message):
        checks.feedback(answer, 3, IMAGES)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (Begun(3, 0), Malformed, "begun is no answer to the end of round 3"),
        (Update(2, SENT), Malformed, "no answer to the end of round 3"),
        (Update(3, {"w": SENT["w"]}), Rejected, r"weights: \['w'\] for \['b', 'w'\]"),
        (Update(3, SENT | {"w": torch.zeros(4)}), Rejected, r"w \(4,\) torch.float32 for \(3,\)"),
        (Update(3, SENT | {"b": torch.zeros(1).long()}), Rejected, r"b \(1,\) torch.int64 for"),
        (Update(3, SENT | {"b": torch.full((1,), NAN)}), Rejected, "b is not finite"),
    ],
)
def test_unusable_weights_are_refused(answer, error, message):
    with pytest.raises(error, match=message):
        checks.update(answer, 3, SENT)


def test_usable_answers_pass():
    feedback = Feedback(3, 0.0, 0.0, IMAGES)
    assert checks.feedback(feedback, 3, IMAGES) is feedback
    assert checks.update(Update(3, SENT), 3, SENT) is SENT
    assert checks.begun(Begun(3, 2), 3, 2)
    assert not checks.begun(Begun(3, 0), 3, 2)


@pytest.mark.parametrize(
    "answer", [Begun(2, 2), Begun(3, 1), Update(3, {})], ids=["other round", "other base", "other kind"]
)
def test_wrong_answer_to_the_beginning_is_refused(answer):
    with pytest.raises(Malformed, match=f"{answer.kind} is no answer to the beginning of round 3"):
        checks.begun(answer, 3, 2)
