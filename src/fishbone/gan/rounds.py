"""The server's side of a GAN whose discriminators are at the users: rounds of steps, whoever answers or does not.

A round: every device of every user begins with its part of the user's discriminator; in each step the users get
generated images and the generator is stepped on their feedback, weighted as the method says; at the end the devices
send their weights, and the method makes of them what the next round begins with. Adam's moments stay on the devices.

A user one of whose devices gives no usable answer is left out of the rest of the round, and that is counted; the
weights of the others are then those of a game without it. What it gave in earlier steps stays in the generator. A
device that lost what it kept makes its user begin afresh, with moments of Adam that are zero; that is counted, too.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import torch
from torch import Tensor

from fishbone.errors import DivergedError, LinkError
from fishbone.gan import checks
from fishbone.gan.absences import Absence, nobody_left
from fishbone.gan.messages import Feedback, Generated
from fishbone.gan.method import Method, User, Weights
from fishbone.gan.server import Server
from fishbone.nn.divergence import require_finite
from fishbone.nn.optimiser import Optimiser
from fishbone.split.messages import Begin, Diverged, Finish
from fishbone.wire.actor import Link

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Rounds:
    """See the module's docstring.

    Args:
        server: owns the generator and its optimiser.
        users: all users, in any order.
        method: decides weights and what a round begins with.
        optimiser: how devices step their part of a discriminator.
        link: the way in which devices are asked.
        steps: how many a round has.
        field: the parameter that the learning rates come from; blamed for a divergence.
        deadline: seconds that an answer may take, with all that it needs of others; None is as long as it takes.

    Attributes:
        absences: which users were left out of a round's rest so far, and why.
        restarts: how often a user began afresh, so far.
    """

    def __init__(
        self,
        server: Server,
        users: Sequence[User],
        method: Method,
        optimiser: Optimiser,
        link: Link,
        steps: int,
        field: str,
        deadline: float | None = None,
    ) -> None:
        self.server, self.method, self.optimiser, self.link = server, method, optimiser, link
        self.users = sorted(users, key=lambda user: user.name)
        self.steps, self.field, self.deadline = steps, field, deadline
        self.absences: list[Absence] = []
        self.restarts = 0
        self._base = {user.name: 0 for user in users}  # the last round that counted

    def round(self, number: int) -> dict[str, float]:
        """Round ``number`` (from 1); mean losses over its steps, users weighted by the method.

        Raises:
            InputError: the generated images are not finite, or no user is left, since all came to unusable numbers.
            FishboneError: no user is left for other reasons.
        """
        weights = {user.name: self.method.discriminator(user.name) for user in self.users}
        begun = self._each(self.users, number, None, lambda user: self._begin(user, number, weights[user.name]))
        present, losses = list(begun), []
        for step in range((number - 1) * self.steps, number * self.steps):
            if present:
                present, means = self._step(number, step, present)
                losses += [means] if present else []
        updates = self._each(present, number, None, lambda user: self._finish(user, number, weights[user.name]))
        if not updates:
            raise nobody_left([absence for absence in self.absences if absence.round == number], self.field)
        self.method = self.method.collect(updates)
        self._base |= {user.name: number for user in updates}
        total = sum(losses, torch.zeros(2, dtype=torch.float64))
        discriminator_loss, generator_loss = (total / len(losses)).tolist()
        return {"discriminator_loss": discriminator_loss, "generator_loss": generator_loss}

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything of the server that the next round depends on: (tensors, JSON)."""
        absences = [asdict(absence) for absence in self.absences]
        values = {"base": dict(self._base), "absences": absences, "restarts": self.restarts}
        return self.server.pack() | self.method.pack(), values

    def unpack(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Inverse of `pack`."""
        self.server.unpack(tensors)
        self.method = self.method.unpack(tensors)
        self._base = dict(values["base"])
        self.absences = [Absence(**absence) for absence in values["absences"]]
        self.restarts = values["restarts"]

    def _step(self, round_: int, step: int, present: Sequence[User]) -> tuple[list[User], Tensor]:
        """(users that are still there, weighted means of their two losses) after one step of the generator."""
        batches = [user.batch for user in present]
        generated = self.server.generate(step, sum(batches))
        place = f"round {round_}, step {step + 1}"
        require_finite(generated.abs().max().item(), "the largest pixel that is generated", place, field=self.field)
        images = dict(zip(present, torch.split(generated, batches), strict=True))
        answers = self._each(present, round_, step, lambda user: self._play(user, round_, step, images[user]))
        if not answers:
            return [], torch.zeros(2, dtype=torch.float64)
        shares = {user: float(share) for user, share in self.method.shares(list(answers)).items()}
        feedback = [
            answers[user].gradient * shares[user] if user in answers else torch.zeros_like(part)
            for user, part in images.items()
        ]
        self.server.learn(torch.cat(feedback))
        means = torch.zeros(2, dtype=torch.float64)
        for user, answer in answers.items():
            pair = [answer.discriminator_loss, answer.generator_loss]
            means += shares[user] * torch.tensor(pair, dtype=torch.float64)
        return list(answers), means

    def _each(
        self, users: Sequence[User], round_: int, step: int | None, ask: Callable[[User], Answer]
    ) -> dict[User, Answer]:
        """Answers of those users that gave a usable one, in the users' order; the others are written down."""
        answers = {}
        for user in users:
            try:
                answers[user] = ask(user)
            except LinkError as error:
                self.absences.append(Absence(round_, step, user.name, error.status, str(error)))
                log.warning("round %d goes on without %s: %s: %s", round_, user.name, error.status, error)
        return answers

    def _begin(self, user: User, round_: int, weights: Weights) -> None:
        if not self._go_on(user, round_, weights):
            log.warning(
                "round %d: %s begins afresh: a device has not kept round %d", round_, user.name, self._base[user.name]
            )
            self._base[user.name] = 0
            self.restarts += 1
            self._go_on(user, round_, weights)

    def _go_on(self, user: User, round_: int, weights: Weights) -> bool:
        """Begin on a user's devices; False where one has not kept the last round that counted."""
        base = self._base[user.name]
        messages = (
            (part.address, Begin(round_, base, self.optimiser, self.deadline, part.of(weights))) for part in user.parts
        )
        return all(
            checks.begun(self.link.ask(address, message, self.deadline), round_, base) for address, message in messages
        )

    def _play(self, user: User, round_: int, step: int, images: Tensor) -> Feedback:
        answer = self.link.ask(user.parts[0].address, Generated(step, images), self.deadline)
        if isinstance(answer, Diverged) and not math.isfinite(answer.value):
            place = f"round {round_}, step {step + 1}, {user.name}"
            raise DivergedError(f"training diverged in {place}: the {answer.what} is {answer.value}")
        return checks.feedback(answer, step, images)

    def _finish(self, user: User, round_: int, weights: Weights) -> Weights:
        parts: dict[str, Tensor] = {}
        for part in user.parts:
            answer = self.link.ask(part.address, Finish(round_), self.deadline)
            parts |= checks.update(answer, round_, part.of(weights))
        return parts
