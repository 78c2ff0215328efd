"""A game small enough for tests: 8x8 images, three users, six devices."""

from dataclasses import replace
from functools import partial

import numpy as np
import torch

from fishbone.gan import methods
from fishbone.gan.rounds import Rounds
from fishbone.gan.setting import Population, Setting
from fishbone.split.planner import Capacity
from fishbone.wire.codec import copied
from fishbone.wire.memory import Memory
from fishbone.wire.testing import Faulty

SETTING = Setting(
    shape=(1, 8, 8), width=4, latent=8, dropout=0.3, batch=12, steps=3,
    generator_rate=1e-3, discriminator_rate=2e-3, beta1=0.5, seed=0,
)  # fmt: skip
ANY = 10**9
EQUAL = Capacity(1.0, ANY)
DEVICES = [[EQUAL] * 3, [EQUAL], [EQUAL] * 2]
WHOLE = [[EQUAL], [EQUAL], [EQUAL]]
PARTS = [np.arange(0, 30), np.arange(30, 40), np.arange(40, 60)]


class Recorder:
    """An observer that keeps copies."""

    def __init__(self):
        self.envelopes = []

    def __call__(self, envelope):
        self.envelopes.append(replace(envelope, message=copied(envelope.message)))

    def of(self, kind):
        return [envelope for envelope in self.envelopes if envelope.message.kind == kind]

    def weights(self, kind, end):
        """User → weights in the messages of this kind; ``end`` says where the device's address is."""
        found = {}
        for envelope in self.of(kind):
            found.setdefault(getattr(envelope, end).split("/")[0], {}).update(envelope.message.weights)
        return found


def images(count=60, shape=(1, 8, 8)):
    generator = torch.Generator().manual_seed(9)
    return torch.randint(0, 256, (count, *shape), generator=generator).div(127.5).sub(1)


def population(parts=PARTS, devices=DEVICES, observers=(), carrier=Memory):
    return Population(images(), parts, devices, observers, carrier)


def fsl_gan(setting=SETTING, **kwargs):
    return methods.METHODS["fsl_gan"](setting, population(**kwargs))


def centralised(setting=SETTING):
    return methods.METHODS["centralised"](setting, population())


def faulty(*faults, deadline=None, **kwargs):
    """The game on a carrier with these faults."""
    return fsl_gan(replace(SETTING, deadline=deadline), carrier=partial(Faulty, faults=faults), **kwargs)


def among(game, chosen):
    """The same game with these users, in this order."""
    rounds, known = game.rounds, {user.name: user for user in game.rounds.users}
    users = [known[name] for name in chosen]
    game.rounds = Rounds(
        rounds.server, users, rounds.method, rounds.optimiser, rounds.link, rounds.steps, rounds.field
    )  # fmt: skip
    return game


def play(game, rounds=2):
    return [game.round(number) for number in range(1, rounds + 1)]


def end(game):
    """Generator and common discriminator."""
    return game.generator.state_dict() | dict(game.rounds.method.pack())


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
