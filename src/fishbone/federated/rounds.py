"""One round over all members.

Every member starts from the global weights, trains locally, and returns its weights; the method makes the next global
weights of them. A member that gives no usable answer, for whatever reason, is left out and counted under that reason,
and the shares p_k are those of the members that remain; a vertical group is whole or left out.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fishbone.errors import DivergedError, FishboneError, InputError, LinkError, Rejected
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
        errors: member that was left out → why.
    """

    state: ServerState
    train_loss: float
    counts: Counts
    errors: Mapping[str, LinkError]

    @property
    def left_out(self) -> dict[str, str]:
        """Member → the status of its error."""
        return statuses(self.errors)


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
        own = {name: value.clone() for name, value in weights.items()}
        return ServerState(own, self.method.begin(own))

    def round(self, number: int, state: ServerState) -> RoundResult:
        """Round ``number``, from 1.

        Raises:
            InputError: no member is left, and the learning rate is to blame: training diverged, or weights were not
                finite.
            FishboneError: no member is left, for other reasons.
        """
        beside, method = self.method.beside(state.memory), named(self.method)
        trained, failed = {}, {}
        for role in self.roles:
            counted = state.counted.get(role.id, 0)
            try:
                order = members.Order(number, counted, state.weights, beside, self.work, method)
                trained[role.id] = members.train(role, order, self.engine)
            except LinkError as error:
                log.warning("round %d goes on without %s (%s): %s", number, role.id, error.status, error)
                failed[role.id] = error
        counts = count(self.engine.traffic.take(), self.roles, statuses(failed))
        if not trained:
            raise self._nobody(number, counts, failed)
        shares = self.method.weigh([role for role in self.roles if role.id in trained])
        answers = Answers(len(self.roles), shares, trained)
        moved = self.method.step(number, state, answers)
        after = replace(moved, counted={**state.counted, **dict.fromkeys(trained, number)})
        return RoundResult(after, answers.mean_loss(), counts, failed)

    def _nobody(self, number: int, counts: Counts, failed: Mapping[str, LinkError]) -> FishboneError:
        told = ", ".join(f"{counts.left_out[status]} {status}" for status in BY_STATUS if status in counts.left_out)
        problem = f"round {number}: {told.replace(' ', ' members ', 1)}, none left"
        first = next(iter(failed.values()))
        if not counts.left_out.keys() <= {Rejected.status, DivergedError.status}:
            return FishboneError(f"{problem}. The first says: {first}")
        remedy = f"The first says: {first}. Lower the learning rate if it is updates with weights that are not finite."
        return diverged(failed, self.field) or InputError(problem, field=self.field, remedy=remedy)


def statuses(errors: Mapping[str, LinkError]) -> dict[str, str]:
    """Member → the status of its error."""
    return {member: error.status for member, error in errors.items()}


def diverged(errors: Mapping[str, LinkError], field: str) -> InputError | None:
    """What to say to people about the first member whose training diverged; None if that happened to nobody.

    Args:
        errors: member → why it was left out of a round.
        field: the parameter that the learning rate comes from.
    """
    for error in errors.values():
        if isinstance(error, DivergedError):
            return InputError(str(error), field=field, remedy="Lower it.")
    return None
