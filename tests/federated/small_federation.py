"""A federation small enough for exact comparisons: 6x8 images, 3 classes."""

from functools import partial

import numpy as np
import torch
from fishbone.federated.aggregate import class_half
from fishbone.federated.local import LocalTraining
from fishbone.federated.simulate import in_process

from fishbone.federated.roles import HorizontalRole, assign, vertical_role
from fishbone.federated.rounds import SERVER_RATES, Federation
from fishbone.nn.models import build
from fishbone.seeding import torch_generator

SHAPE, CLASSES, EMBEDDING = (1, 6, 8), 3, 4
OPTIMISERS = {"sgd": partial(torch.optim.SGD, lr=0.3), "adam": partial(torch.optim.Adam, lr=0.01)}


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


def local_training(optimiser="sgd", epochs=2, batch=7, seed=0):
    return LocalTraining(seed, epochs, batch, OPTIMISERS[optimiser])


def one_horizontal(count, name="h00000"):
    return HorizontalRole(name, np.arange(count))


def one_group(count, parties=2, name="v00000"):
    return vertical_role(name, np.arange(count), parties)


def mixed_roles(labels, horizontal, vertical, parties=2):
    return assign(
        labels.numpy(), horizontal, vertical, parties=parties, horizontal_partition="shards-2",
        vertical_partition="iid", seed=0,
    )  # fmt: skip


def federate(roles, data, local, parties=2, weighting=class_half, rate="constant", transport=None):
    """A `Federation` in this process, and its start weights."""
    model = network(parties)
    transport = transport or in_process(roles, model, *data, local)
    return Federation(roles, transport, weighting, SERVER_RATES[rate]), weights_of(model)


def rounds(federation, weights, count):
    """Weights after rounds 1 … count."""
    for number in range(1, count + 1):
        weights = federation.round(number, weights).weights
    return weights


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
