"""One member's part in a round, as the server sees it: what it is sent, and what may come back."""

from collections.abc import Callable
from dataclasses import dataclass

from fishbone.errors import Malformed, Rejected
from fishbone.federated.checks import admissible, of_kind
from fishbone.federated.engines.engine import Engine
from fishbone.federated.messages import Begin, Diverged, Done, Finish, NamedMethod, Train, Update
from fishbone.federated.methods.protocol import Tensors, Trained
from fishbone.federated.roles import HorizontalRole, Role, VerticalRole
from fishbone.federated.work import LocalWork
from fishbone.nn.divergence import require_finite
from fishbone.wire.deadline import Deadline
from fishbone.wire.message import Message

Say = Callable[[str, Message], Message]


@dataclass(frozen=True, eq=False)
class Order:
    """What all members are sent in a round; each part of the network gets the tensors of its own prefix."""

    round: int
    weights: Tensors
    beside: Tensors
    work: LocalWork
    method: NamedMethod

    def train(self, prefix: str) -> Train:
        """The message to whoever leads training, with the tensors of this prefix."""
        return Train(self.round, part(self.weights, prefix), part(self.beside, prefix), self.work, self.method)

    def begin(self, prefix: str) -> Begin:
        """The message to a party of a group, with the tensors of this prefix."""
        return Begin(self.round, part(self.weights, prefix), part(self.beside, prefix), self.work, self.method)


def part(tensors: Tensors, prefix: str) -> Tensors:
    """Those whose names begin with the prefix."""
    return {name: value for name, value in tensors.items() if name.startswith(prefix)}


def train(role: Role, order: Order, engine: Engine, field: str) -> Trained:
    """Let one member do its local work; a vertical group is whole or fails.

    Args:
        role: the member that is to train.
        order: what it is sent.
        engine: where the member runs.
        field: the parameter that the learning rate comes from, for the message about divergence.

    Raises:
        LinkError: there is no usable answer; its ``status`` is what the round counts.
        InputError: training diverged.
    """
    deadline = Deadline(order.work.deadline, engine.clock)

    def say(address: str, message: Message) -> Message:
        return engine.link.ask(address, message, deadline.left())

    match role:
        case HorizontalRole():
            return _joined([_update(role, role.id, order.train(""), say, field)])
        case VerticalRole():
            return _joined(_group(role, order, say, field))


def _group(role: VerticalRole, order: Order, say: Say, field: str) -> list[Update]:
    begun = {party: order.begin(role.parts[party]) for party in role.parties}
    for party, message in begun.items():
        of_kind(say(party, message), Done, party)
    leader = _update(role, role.label_holder, order.train(role.parts[role.label_holder]), say, field)
    finish = Finish(order.round)
    return [leader] + [_admitted(say(party, finish), party, message) for party, message in begun.items()]


def _update(role: Role, address: str, message: Train, say: Say, field: str) -> Update:
    reply = say(address, message)
    if isinstance(reply, Diverged):
        _stop(role, reply, message.round, field)
    return _admitted(reply, address, message)


def _admitted(reply: Message, address: str, sent: Train | Begin) -> Update:
    update = of_kind(reply, Update, address)
    if not admissible(update, sent):
        raise Rejected(f"{address} sent an update of another round, other shapes, or not finite")
    return update


def _stop(role: Role, reply: Diverged, round_: int, field: str) -> None:
    """A member whose training diverged ends the run: nothing that comes of it is of use to anybody."""
    if reply.round == round_:
        where = f"local step {reply.step}" if reply.epoch is None else f"local epoch {reply.epoch}, step {reply.step}"
        require_finite(float(reply.value), f"the {reply.what}", f"round {round_}, {role.id}, {where}", field=field)
    raise Malformed(f"{role.id} says that it diverged in round {reply.round}, with the value {reply.value}")


def _joined(updates: list[Update]) -> Trained:
    """The parts of one member as one network; the first has the loss."""
    weights = {name: value for update in updates for name, value in update.weights.items()}
    beside = {name: value for update in updates for name, value in update.beside.items()}
    loss = updates[0].loss
    assert loss is not None  # or it had not been admitted
    return Trained(weights, beside, loss)
