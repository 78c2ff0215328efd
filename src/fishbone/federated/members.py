"""One member's part in a round, as the server sees it: what it is sent, and what may come back."""

from collections.abc import Callable
from dataclasses import dataclass

from fishbone.errors import DivergedError, Malformed, Rejected
from fishbone.federated.checks import admissible
from fishbone.federated.engines.engine import Engine
from fishbone.federated.messages import Begin, Diverged, Done, Finish, NamedMethod, Train, Update
from fishbone.federated.methods.protocol import Tensors, Trained
from fishbone.federated.roles import HorizontalRole, Role, VerticalRole
from fishbone.federated.work import LocalWork
from fishbone.wire.checks import of_kind
from fishbone.wire.deadline import Deadline, Within
from fishbone.wire.message import Message

Say = Callable[[str, Message], Message]


@dataclass(frozen=True, eq=False)
class Order:
    """What a member is sent in a round; each part of the network gets the tensors of its own prefix."""

    round: int
    counted: int
    weights: Tensors
    beside: Tensors
    work: LocalWork
    method: NamedMethod

    def train(self, prefix: str) -> Train:
        """The message to whoever leads training, with the tensors of this prefix."""
        weights, beside = part(self.weights, prefix), part(self.beside, prefix)
        return Train(self.round, self.counted, weights, beside, self.work, self.method)

    def begin(self, prefix: str) -> Begin:
        """The message to a party of a group, with the tensors of this prefix."""
        weights, beside = part(self.weights, prefix), part(self.beside, prefix)
        return Begin(self.round, self.counted, weights, beside, self.work, self.method)


def part(tensors: Tensors, prefix: str) -> Tensors:
    """Those whose names begin with the prefix."""
    return {name: value for name, value in tensors.items() if name.startswith(prefix)}


def train(role: Role, order: Order, engine: Engine) -> Trained:
    """Let one member do its local work; a vertical group is whole or fails.

    Args:
        role: the member that is to train.
        order: what it is sent.
        engine: where the member runs.

    Raises:
        LinkError: there is no usable answer; its ``status`` is what the round counts.
    """
    say = Within(engine.link, Deadline(order.work.deadline, engine.clock)).ask
    match role:
        case HorizontalRole():
            return _joined([_update(role, role.id, order.train(""), say)])
        case VerticalRole():
            return _joined(_group(role, order, say))


def _group(role: VerticalRole, order: Order, say: Say) -> list[Update]:
    begun = {party: order.begin(role.parts[party]) for party in role.parties}
    for party, message in begun.items():
        of_kind(say(party, message), Done, party)
    leader = _update(role, role.label_holder, order.train(role.parts[role.label_holder]), say)
    finish = Finish(order.round)
    return [leader] + [_admitted(say(party, finish), party, message) for party, message in begun.items()]


def _update(role: Role, address: str, message: Train, say: Say) -> Update:
    reply = say(address, message)
    if isinstance(reply, Diverged):
        raise _stopped(role, reply, message.round)
    return _admitted(reply, address, message)


def _admitted(reply: Message, address: str, sent: Train | Begin) -> Update:
    update = of_kind(reply, Update, address)
    if not admissible(update, sent):
        raise Rejected(f"{address} sent an update of another round, other shapes, or not finite")
    return update


def _stopped(role: Role, reply: Diverged, round_: int) -> DivergedError | Malformed:
    """The error for a member that says that its training diverged."""
    if reply.round != round_:
        return Malformed(f"{role.id} says that it diverged in round {reply.round}, with the value {reply.value}")
    where = f"local step {reply.step}" if reply.epoch is None else f"local epoch {reply.epoch}, step {reply.step}"
    value = float(reply.value)
    return DivergedError(f"training diverged in round {round_}, {role.id}, {where}: the {reply.what} is {value}")


def _joined(updates: list[Update]) -> Trained:
    """The parts of one member as one network; the first has the loss."""
    weights = {name: value for update in updates for name, value in update.weights.items()}
    beside = {name: value for update in updates for name, value in update.beside.items()}
    loss = updates[0].loss
    assert loss is not None  # or it had not been admitted
    return Trained(weights, beside, loss)
