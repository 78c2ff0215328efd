import math
from dataclasses import replace

import pytest
import torch

from fishbone.federated.checks import admissible, diverged
from fishbone.federated.messages import Begin, NamedMethod, Train, Update
from fishbone.federated.work import LocalWork
from fishbone.nn.optimiser import Optimiser

WORK, METHOD = LocalWork(0, 1, 1, Optimiser("sgd", 0.1)), NamedMethod("fedavg", {})
SENT = {"w": torch.zeros(2, 3), "b": torch.zeros(3)}
TRAIN = Train(4, 3, SENT, {"b": torch.zeros(3)}, WORK, METHOD)
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
    begin = Begin(4, 3, SENT, {"b": torch.zeros(3)}, WORK, METHOD)
    assert admissible(replace(GOOD, loss=None), begin)
    assert not admissible(GOOD, begin)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_number_that_is_not_finite_is_said_with_its_place(value):
    found = diverged(2, 1, 3, "embedding", torch.tensor([[1.0, float(value)]]))
    assert (found.round, found.epoch, found.step, found.what, found.value) == (2, 1, 3, "embedding", value)
    assert math.isfinite(float(found.value)) is False
    assert diverged(2, 1, 3, "loss", torch.tensor(1.0)) is None
