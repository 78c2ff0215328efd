"""A federation small enough for exact comparisons: 6x8 images, 3 classes."""

import numpy as np
import torch

from fishbone.federated.engines.in_process import in_process
from fishbone.federated.methods.hovefl import HoVeFL
from fishbone.federated.roles import HorizontalRole, assign, vertical_role
from fishbone.federated.rounds import Federation
from fishbone.federated.work import LocalWork
from fishbone.nn.models import build
from fishbone.nn.optimiser import Optimiser
from fishbone.seeding import torch_generator

SHAPE, CLASSES, EMBEDDING = (1, 6, 8), 3, 4
OPTIMISERS = {"sgd": Optimiser("sgd", 0.3), "adam": Optimiser("adam", 0.01)}

HOVEFL = HoVeFL()


def samples(count, seed=0):
    """Inputs (count, 1, 6, 8) and labels (count,)."""
    generator = torch_generator(seed, "test samples")
    return torch.randn(count, *SHAPE, generator=generator), torch.arange(count) % CLASSES


def network(parties=2, seed=0):
    return build(
        {"name": "two_branch", "shape": list(SHAPE), "classes": CLASSES, "embedding": EMBEDDING, "hidden": 5,
         "parties": parties},
        seed,
    )  # fmt: skip


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def local_work(optimiser="sgd", epochs=2, batch=7, seed=0, deadline=None):
    return LocalWork(seed, epochs, batch, OPTIMISERS[optimiser], deadline)


def one_horizontal(count, name="h00000"):
    return HorizontalRole(name, np.arange(count))


def one_group(count, parties=2, name="v00000"):
    return vertical_role(name, np.arange(count), parties)


def mixed_roles(labels, horizontal, vertical, parties=2):
    return assign(
        labels.numpy(), horizontal, vertical, parties=parties, horizontal_partition="shards-2",
        vertical_partition="iid", seed=0,
    )  # fmt: skip


def federate(roles, data, work, parties=2, method=HOVEFL, **how):
    """A `Federation` in this process, and its state before the first round."""
    model = network(parties)
    federation = Federation(roles, in_process(roles, model, *data, **how), method, work)
    return federation, federation.start(weights_of(model))


def rounds(federation, state, count):
    """Weights after rounds 1 … count."""
    for number in range(1, count + 1):
        state = federation.round(number, state).state
    return state.weights


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
