import math
from dataclasses import replace

import pytest
import torch

from fishbone.errors import Malformed
from fishbone.federated.checks import admissible, alike, diverged, of_kind
from fishbone.federated.messages import Begin, Diverged, Done, Finish, NamedMethod, Train, Update
from fishbone.federated.work import LocalWork
from fishbone.nn.optimiser import Optimiser

WORK, METHOD = LocalWork(0, 1, 1, Optimiser("sgd", 0.1)), NamedMethod("fedavg", {})
SENT = {"w": torch.zeros(2, 3), "b": torch.zeros(3)}
TRAIN = Train(4, SENT, {"b": torch.zeros(3)}, WORK, METHOD)
GOOD = Update(4, {"w": torch.ones(2, 3), "b": torch.ones(3)}, {"b": torch.ones(3)}, 0.5)


@pytest.mark.parametrize(
    "fault",
    [
        {"round": 3},
        {"loss": float("nan")},
        {"loss": None},
        {"weights": {"w": torch.ones(2, 3)}},
        {"weights": GOOD.weights | {"c": torch.ones(1)}},
        {"weights": GOOD.weights | {"b": torch.ones(4)}},
        {"weights": GOOD.weights | {"b": torch.ones(3, dtype=torch.float64)}},
        {"weights": GOOD.weights | {"b": torch.tensor([1, float("nan"), 1])}},
        {"weights": GOOD.weights | {"b": torch.tensor([1, float("inf"), 1])}},
        {"beside": {}},
        {"beside": {"b": torch.tensor([1, float("nan"), 1])}},
        {"beside": {"b": torch.ones(3), "w": torch.ones(2, 3)}},
    ],
    ids=["round", "loss", "no loss", "missing", "extra", "shape", "type", "nan", "inf",
         "beside missing", "beside nan", "beside extra"],
)  # fmt: skip
def test_a_faulty_update_is_not_admitted(fault):
    assert admissible(GOOD, TRAIN)
    assert not admissible(replace(GOOD, **fault), TRAIN)


def test_a_party_has_no_loss():
    begin = Begin(4, SENT, {"b": torch.zeros(3)}, WORK, METHOD)
    assert admissible(replace(GOOD, loss=None), begin)
    assert not admissible(GOOD, begin)


def test_tensors_are_alike_by_name_shape_type_and_being_finite():
    assert alike({"a": torch.ones(2)}, {"a": torch.zeros(2)})
    for other in ({"b": torch.ones(2)}, {"a": torch.ones(3)}, {"a": torch.ones(2).int()}, {"a": torch.ones(2) / 0}):
        assert not alike(other, {"a": torch.zeros(2)})


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_number_that_is_not_finite_is_said_with_its_place(value):
    found = diverged(2, 1, 3, "embedding", torch.tensor([[1.0, float(value)]]))
    assert (found.round, found.epoch, found.step, found.what, found.value) == (2, 1, 3, "embedding", value)
    assert math.isfinite(float(found.value)) is False
    assert diverged(2, 1, 3, "loss", torch.tensor(1.0)) is None


def test_another_kind_of_reply_is_malformed():
    done = Done()
    assert of_kind(done, Done, "h") is done
    for other in (Finish(1), Diverged(1, None, 1, "loss", "nan")):
        with pytest.raises(Malformed, match=f"h answered {other.kind}, not done"):
            of_kind(other, Done, "h")
