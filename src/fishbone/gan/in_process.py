"""A game over users with all parties in this process: actors on a `Memory`, which each know others by address only."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from fishbone.gan import account
from fishbone.gan.absences import Absence
from fishbone.gan.batches import share_batch
from fishbone.gan.messages import POLICY, SERVER
from fishbone.gan.method import Method, Part, User
from fishbone.gan.owner import PASSES, Owner
from fishbone.gan.rounds import Rounds
from fishbone.gan.server import Server
from fishbone.gan.setting import Population, Setting
from fishbone.nn.dcgan import Generator
from fishbone.nn.pack import under
from fishbone.split.chain import segments
from fishbone.split.planner import balanced, measure
from fishbone.wire.actor import Packed
from fishbone.wire.memory import Memory
from fishbone.wire.traffic import Key, Traffic


class InProcess:
    """A `fishbone.gan.game.Game`: the server's rounds and everybody else's state.

    Args:
        rounds: the server's side of the game.
        memory: what carries its messages.
        traffic: observer of the memory that counts bytes.
        discriminator: the network that the users' devices hold parts of.
        shape: (channels, height, width) of an image.
    """

    def __init__(
        self, rounds: Rounds, memory: Memory, traffic: Traffic, discriminator: nn.Sequential, shape: tuple[int, ...]
    ) -> None:
        self.rounds, self.memory, self.traffic = rounds, memory, traffic
        self.discriminator, self.shape = discriminator, shape
        self.field = rounds.field

    @property
    def generator(self) -> Generator:
        """The server's, in training mode between rounds."""
        return self.rounds.server.generator

    @property
    def absences(self) -> Sequence[Absence]:
        return self.rounds.absences

    def round(self, number: int) -> dict[str, float]:
        """See `fishbone.gan.rounds.Rounds.round`."""
        return self.rounds.round(number)

    def own(self) -> dict[str, Tensor]:
        return self.rounds.pack()[0]

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The server, all parties and the bytes so far: (tensors, JSON)."""
        tensors, values = self.rounds.pack()
        parties = self.memory.pack()
        for address, packed in parties.items():
            tensors |= {f"party/{address}/{name}": tensor for name, tensor in packed.tensors.items()}
        return tensors, {
            "rounds": values,
            "parties": {address: dict(packed.values) for address, packed in parties.items()},
            "traffic": [[*key, count] for key, count in self.traffic.bytes.items()],
        }

    def unpack(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Inverse of `pack`."""
        self.rounds.unpack(tensors, values["rounds"])
        parties = values["parties"].items()
        self.memory.unpack({address: Packed(under(f"party/{address}/", tensors), found) for address, found in parties})
        self.traffic.bytes = Counter({Key(*key): count for *key, count in values["traffic"]})

    def costs(self, rounds: int) -> dict[str, int]:
        """What ``rounds`` rounds cost; see `fishbone.gan.account`."""
        layers = measure(self.discriminator, self.shape)
        costs = account.over_users(self.generator, layers, self.rounds.users, self.traffic.bytes, math.prod(self.shape))
        return costs | account.irregular(self.rounds.absences, self.rounds.restarts)


def over_users(
    setting: Setting, population: Population, generator: Generator, discriminator: nn.Sequential, method: Method,
    field: str,
) -> InProcess:  # fmt: skip
    """The game, each discriminator placed by `balanced`.

    Args:
        setting: what all methods share.
        population: users with their images and devices.
        generator: the network that the server trains.
        discriminator: the network; its weights are the method's affair.
        method: decides what users begin with and how much their feedback weighs.
        field: the parameter that the learning rates come from.

    Raises:
        InputError: some user's devices cannot hold the discriminator, or the batch is smaller than the users.
    """
    layers = measure(discriminator, setting.shape)
    batches = share_batch(setting.batch, [len(part) for part in population.parts])
    traffic = Traffic()
    memory = population.carrier(POLICY, [*population.observers, traffic])
    users = []
    for index, (part, capacities, batch) in enumerate(
        zip(population.parts, population.devices, batches, strict=True)
    ):  # fmt: skip
        # A pass holds the step's real and generated images.
        sizes = balanced(layers, capacities, 2 * batch)
        name = f"user{index}"
        placed = {f"{name}/device{number}": size for number, size in enumerate(sizes) if size}
        users.append(_user(name, placed, discriminator, population.images[part], batch, setting.seed, memory))
    server = Server(generator, setting.adam(setting.generator_rate), setting.seed)
    optimiser = setting.adam(setting.discriminator_rate)
    link = memory.link(SERVER, SERVER)
    rounds = Rounds(server, users, method, optimiser, link, setting.steps, field, setting.deadline)
    return InProcess(rounds, memory, traffic, discriminator, setting.shape)


def _user(
    name: str, placed: Mapping[str, int], discriminator: nn.Sequential, images: Tensor, batch: int, seed: int,
    memory: Memory,
) -> User:  # fmt: skip
    """What the server knows of a user whose actors are attached here."""
    parts = segments(discriminator, placed, name, PASSES, clock=memory.clock)
    first, *others = parts
    memory.attach(first, Owner(name, parts[first], images, batch, seed))
    for address in others:
        memory.attach(address, parts[address])
    held = [
        Part(address, size, tuple(parts[address].module.state_dict())) for address, size in placed.items()
    ]  # fmt: skip
    return User(name, len(images), batch, tuple(held))
