"""One round over all members.

Every member starts from the global weights, trains locally, and returns its weights; the method makes the next global
weights of them. A member that gives no usable answer, for whatever reason, is left out and counted under that reason,
and the shares p_k are those of the members that remain; a vertical group is whole or left out.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fishbone.errors import InputError, LinkError
from fishbone.federated import members
from fishbone.federated.counts import Counts, count
from fishbone.federated.engines.engine import Engine
from fishbone.federated.methods.protocol import Answers, Method, ServerState, Tensors, named
from fishbone.federated.roles import Role
from fishbone.federated.work import LocalWork
from fishbone.wire.errors import BY_STATUS

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class RoundResult:
    """What a round came to.

    Args:
        state: the server's, after the round.
        train_loss: Σ p_k · (mean loss of member k's last local epoch), nats.
        counts: bytes, and how many members were left out.
        left_out: member → the status of the error.
    """

    state: ServerState
    train_loss: float
    counts: Counts
    left_out: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Federation:
    """A federation: who takes part, how to reach them, and what they do.

    Args:
        roles: the members, with their samples and addresses.
        engine: where they run, and how they are asked.
        method: how they are weighed, what the server does, and what they do beside plain training.
        work: what each member does in a round.
        field: the parameter that the learning rate comes from, for messages.
    """

    roles: Sequence[Role]
    engine: Engine
    method: Method
    work: LocalWork
    field: str = "learning_rate"

    def start(self, weights: Tensors) -> ServerState:
        """The server before the first round."""
        return ServerState(weights, self.method.begin(weights))

    def round(self, number: int, state: ServerState) -> RoundResult:
        """Round ``number``, from 1.

        Raises:
            InputError: a member's training diverged, or no member is left.
        """
        beside = self.method.beside(state.memory)
        order = members.Order(number, state.weights, beside, self.work, named(self.method))
        trained, failed = {}, {}
        for role in self.roles:
            try:
                trained[role.id] = members.train(role, order, self.engine, self.field)
            except LinkError as error:
                log.warning("round %d goes on without %s (%s): %s", number, role.id, error.status, error)
                failed[role.id] = error
        left_out = {member: error.status for member, error in failed.items()}
        counts = count(self.engine.traffic.take(), self.roles, left_out)
        if not trained:
            raise self._nobody(number, counts, failed)
        shares = self.method.weigh([role for role in self.roles if role.id in trained])
        answers = Answers(len(self.roles), shares, trained)
        return RoundResult(self.method.step(number, state, answers), answers.mean_loss(), counts, left_out)

    def _nobody(self, number: int, counts: Counts, failed: Mapping[str, LinkError]) -> InputError:
        told = ", ".join(f"{counts.left_out[status]} {status}" for status in BY_STATUS if status in counts.left_out)
        problem = f"round {number}: {told.replace(' ', ' members ', 1)}, none left"
        first = next(iter(failed.values()))
        remedy = f"The first says: {first}. Lower the learning rate if it is updates with weights that are not finite."
        return InputError(problem, field=self.field, remedy=remedy)
