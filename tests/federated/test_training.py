import math

import pytest
from small_federation import federate, local_work, mixed_roles, network, same, samples
from small_methods import Scaffold

from fishbone.errors import InputError
from fishbone.federated.methods import METHODS
from fishbone.federated.training import FederatedTraining
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.evaluate import evaluate
from fishbone.nn.loop import resume

DATA = samples(144)
LABELS = DATA[1]


def validate(weights):
    model = network()
    model.load_state_dict(weights)
    return evaluate(model, *DATA)


def training(**how):
    federation, start = federate(mixed_roles(LABELS, 3, 2), DATA, local_work(), **how)
    return FederatedTraining(federation, start.weights, validate)


class DiesInRound4:
    def __init__(self, work):
        self.work, self.pack, self.unpack = work, work.pack, work.unpack

    def step(self, number):
        if number == 4:
            raise KeyboardInterrupt
        return self.work.step(number)


@pytest.mark.parametrize("method", [METHODS["hovefl"](), Scaffold()], ids=["hovefl", "with memories"])
def test_resuming_equals_never_having_stopped(tmp_path, method):
    how = {"method": method, "methods": {method.name: type(method)}}
    kept = Checkpoint(tmp_path / "c.safetensors", {"work": 1})
    whole = training(**how)
    history = resume(whole, 5, Checkpoint(None, {}), lambda row: None)
    with pytest.raises(KeyboardInterrupt):
        resume(DiesInRound4(training(**how)), 5, kept, lambda row: None)
    advanced, resumed = [], training(**how)
    assert resume(resumed, 5, kept, lambda row: advanced.append(row["step"])) == history
    assert advanced == [4, 5]
    assert same(resumed.state.weights, whole.state.weights)
    assert same(resumed.state.memory, whole.state.memory)
    assert resumed.counts == whole.counts


def test_history_has_a_row_per_round_with_the_bytes_so_far():
    work = training()
    history = resume(work, 3, Checkpoint(None, {}), lambda row: None)
    assert [row["step"] for row in history] == [1, 2, 3]
    per_round = history[0]["bytes"]
    assert [row["bytes"] for row in history] == [per_round, 2 * per_round, 3 * per_round]
    assert work.counts.bytes_horizontal + work.counts.bytes_vertical == 3 * per_round


def test_a_row_has_the_loss_of_training_and_what_validation_says():
    work = training()
    result = work.federation.round(1, work.state)
    held = validate(result.state.weights)
    assert training().step(1) == {
        "train_loss": result.train_loss,
        "validation_loss": held["loss"],
        "validation_accuracy": held["accuracy"],
        "bytes": result.counts.bytes_horizontal + result.counts.bytes_vertical,
    }


def test_a_validation_loss_that_is_not_finite_ends_the_run_before_the_round_counts():
    work = training()
    before, work.validate = work.state, lambda weights: {"loss": math.inf, "accuracy": 0.5}
    with pytest.raises(InputError, match=r"^learning_rate: training diverged in round 2: the validation loss is inf"):
        work.step(2)
    assert work.state is before
