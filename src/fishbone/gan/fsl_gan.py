"""FSL-GAN (arXiv 2207.01750): federated discriminators, each split over its user's devices.

A round: the server sends the mean discriminator to every device (its stage); for each step it sends generated
images to the users and steps the generator on their feedback, weighted by n_k / n; at the end it collects the
stages and averages them with weights n_k / n in float64. Adam's moments stay on the devices. The authors' code
differs: it sums instead of averaging, ignores n_k, and updates G and D simultaneously.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction

import torch
from torch import Tensor

from fishbone.gan import state
from fishbone.gan.server import Server
from fishbone.gan.user import User
from fishbone.nn.averages import weighted_mean
from fishbone.nn.divergence import require_finite
from fishbone.split.chain import routes
from fishbone.split.wire import Route, Wire


def allowed(users: Mapping[str, Sequence[str]]) -> set[Route]:
    """The complete list of what may cross: user → its devices in order, the owner first."""
    permitted = set()
    for devices in users.values():
        permitted |= routes(devices)
        permitted |= {Route("generated", Server.name, devices[0]), Route("feedback", devices[0], Server.name)}
        for device in devices:
            permitted |= {Route("weights", Server.name, device), Route("weights", device, Server.name)}
    return permitted


class FslGan:
    """Server and users.

    Attributes:
        field: the parameter that their learning rates come from.

    Args:
        server: owns the generator.
        users: in any order; they act and are summed in the order of their names.
        discriminator: the common start, by the names of the whole network.
        wire: must allow `allowed`.
        steps: of a round.
    """

    field = "learning_rate.fsl_gan"

    def __init__(
        self, server: Server, users: Sequence[User], discriminator: Mapping[str, Tensor], wire: Wire, steps: int
    ):
        self.server = server
        self.users = sorted(users, key=lambda user: user.name)
        self.discriminator = dict(discriminator)
        self.wire = wire
        self.steps = steps
        total = sum(len(user.images) for user in users)
        self.shares = {user.name: Fraction(len(user.images), total) for user in users}

    @property
    def generator(self) -> torch.nn.Module:
        return self.server.generator

    def round(self, number: int) -> dict[str, float]:
        """Round ``number`` (from 0); mean losses over its steps, users weighted by n_k / n.

        Raises:
            InputError: a loss is not finite.
        """
        for user in self.users:
            self._send_weights(user)
        sums = torch.zeros(2, dtype=torch.float64)
        for step in range(number * self.steps, (number + 1) * self.steps):
            losses = self._step(step)
            require_finite(losses.sum().item(), "the loss", f"round {number + 1}, step {step + 1}", field=self.field)
            sums += losses
        self.discriminator = self._average()
        discriminator_loss, generator_loss = (sums / self.steps).tolist()
        return {"discriminator_loss": discriminator_loss, "generator_loss": generator_loss}

    def _step(self, step: int) -> Tensor:
        batches = [user.batch for user in self.users]
        generated = self.server.generate(step, sum(batches)).split(batches)
        feedback, sums = [], torch.zeros(2, dtype=torch.float64)
        for user, images in zip(self.users, generated, strict=True):
            received = self.wire.send("generated", self.server.name, user.owner, images, f"{step}")
            judgement = user.play(step, received)
            returned = self.wire.send("feedback", user.owner, self.server.name, judgement.feedback, f"{step}")
            share = float(self.shares[user.name])
            feedback.append(returned * share)
            sums += share * torch.tensor([judgement.discriminator_loss, judgement.generator_loss], dtype=torch.float64)
        self.server.learn(torch.cat(feedback))
        return sums

    def _send_weights(self, user: User) -> None:
        for device, stage in zip(user.chain.devices, user.chain.stages, strict=True):
            names = stage.module.state_dict()
            stage.module.load_state_dict(
                {n: self.wire.send("weights", self.server.name, device, self.discriminator[n], n) for n in names}
            )

    def _average(self) -> dict[str, Tensor]:
        parts = {}
        for user in self.users:
            weights = {
                name: self.wire.send("weights", device, self.server.name, value, name)
                for device, stage in zip(user.chain.devices, user.chain.stages, strict=True)
                for name, value in stage.module.state_dict().items()
            }
            parts[user.name] = (self.shares[user.name], weights)
        mean = weighted_mean(parts)
        return {name: mean[name].to(old.dtype) for name, old in self.discriminator.items()}

    def save(self) -> tuple[dict[str, Tensor], dict]:
        """Everything that the next round depends on: (tensors, JSON); the stages' weights are sent anew."""
        tensors = state.pack("generator", self.server.generator, self.server.optimiser)
        tensors |= {f"discriminator/{name}": value for name, value in self.discriminator.items()}
        for key, stage in self._stages():
            tensors |= state.pack(key, stage.module, stage.optimiser)
        traffic = [[r.kind, r.sender, r.receiver, count] for r, count in self.wire.traffic.items()]
        return tensors, {"traffic": traffic}

    def load(self, tensors: Mapping[str, Tensor], saved: dict) -> None:
        """Inverse of `save`."""
        state.unpack("generator", tensors, self.server.generator, self.server.optimiser)
        self.discriminator = {name: tensors[f"discriminator/{name}"] for name in self.discriminator}
        for key, stage in self._stages():
            state.unpack(key, tensors, stage.module, stage.optimiser)
        self.wire.traffic.clear()
        self.wire.traffic.update({Route(*route): count for *route, count in saved["traffic"]})

    def _stages(self):
        for user in self.users:
            for device, stage in zip(user.chain.devices, user.chain.stages, strict=True):
                yield f"stage/{device}", stage
