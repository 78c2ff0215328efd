"""A game small enough for tests: 8x8 images, three users, five devices."""

import numpy as np
import torch

from fishbone.gan import assemble
from fishbone.split.planner import Capacity

SETTING = assemble.Setting(
    shape=(1, 8, 8), width=4, latent=8, dropout=0.3, batch=12, steps=3,
    generator_rate=1e-3, discriminator_rate=2e-3, beta1=0.5, seed=0,
)  # fmt: skip
ANY = 10**9
EQUAL = Capacity(1.0, ANY)
DEVICES = [[EQUAL] * 3, [EQUAL], [EQUAL] * 2]
WHOLE = [[EQUAL], [EQUAL], [EQUAL]]
PARTS = [np.arange(0, 30), np.arange(30, 40), np.arange(40, 60)]


def images(count=60, shape=(1, 8, 8)):
    generator = torch.Generator().manual_seed(9)
    return torch.randint(0, 256, (count, *shape), generator=generator).div(127.5).sub(1)


def fsl_gan(setting=SETTING, parts=PARTS, devices=DEVICES, observer=lambda message: None):
    return assemble.fsl_gan(setting, images(), parts, devices, observer)


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
