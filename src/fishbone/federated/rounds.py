"""One round over all members, and the loop over rounds.

A round: every member starts from the global weights, trains locally, and returns its
weights; their mean moves the global weights by the server's learning rate. A member that cannot be reached, or
returns something inadmissible, is left out and the weights p_k are those of the members that remain; a vertical group
is whole or left out.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction

from torch import Tensor

from fishbone.errors import InputError
from fishbone.federated.aggregate import Contribution, admissible, server_step, weighted_mean
from fishbone.federated.messages import Begin, Finish, Train, Update
from fishbone.federated.roles import HorizontalRole, Role, VerticalRole
from fishbone.federated.transport import Transport, Unreachable
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.divergence import require_finite

Weights = dict[str, Tensor]

# "harmonic" is what the authors' published loop computes: its list of local models is never cleared, so round t
# averages those of rounds 1 … t.
SERVER_RATES: dict[str, Callable[[int], float]] = {
    "constant": lambda round_: 1.0,
    "harmonic": lambda round_: 1 / round_,
}


@dataclass(frozen=True)
class Counts:
    """Payload bytes in both directions, and members left out; sums over rounds."""

    bytes_horizontal: int = 0
    bytes_vertical_weights: int = 0
    bytes_vertical_embeddings: int = 0
    members_unreachable: int = 0
    members_rejected: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(**{name: value + getattr(other, name) for name, value in asdict(self).items()})

    @property
    def bytes_vertical(self) -> int:
        return self.bytes_vertical_weights + self.bytes_vertical_embeddings


@dataclass(frozen=True, eq=False)
class RoundResult:
    """``train_loss``: Σ p_k · (mean loss of member k's last local epoch), nats."""

    weights: Weights
    train_loss: float
    counts: Counts


@dataclass(frozen=True)
class Federation:
    """Who takes part, how to reach them, how much each counts, and the server's rate by round (from 1)."""

    roles: Sequence[Role]
    transport: Transport
    weighting: Callable[[Sequence[Role]], dict[str, Fraction]]
    server_rate: Callable[[int], float]

    def round(self, number: int, weights: Weights) -> RoundResult:
        """Round ``number`` from ``weights``.

        Raises:
            InputError: no member is left.
        """
        answers: dict[str, list[Update]] = {}
        unreachable = rejected = 0
        for role in self.roles:
            try:
                updates = _train(role, number, weights, self.transport)
            except Unreachable:
                unreachable += 1
                continue
            if all(admissible(one, _part(weights, role.parts[at]), at, number) for at, one in updates.items()):
                answers[role.id] = list(updates.values())
            else:
                rejected += 1
        shares = self.weighting([role for role in self.roles if role.id in answers])
        if not shares:
            problem = f"round {number}: {unreachable} members unreachable, {rejected} rejected, none left"
            remedy = "Lower the learning rate if it is updates with weights that are not finite."
            raise InputError(problem, remedy=remedy)
        admitted = [Contribution(shares[member], one) for member, updates in answers.items() for one in updates]
        counts = self._traffic() + Counts(members_unreachable=unreachable, members_rejected=rejected)
        mean = server_step(weights, weighted_mean(admitted), self.server_rate(number))
        return RoundResult(mean, _mean_loss(admitted), counts)

    def _traffic(self) -> Counts:
        horizontal = {role.id for role in self.roles if isinstance(role, HorizontalRole)}
        sums: Counter[str] = Counter()
        for (address, kind), size in self.transport.drain_traffic().items():
            sums["bytes_horizontal" if address in horizontal else f"bytes_vertical_{kind}"] += size
        return Counts(**{name: size for name, size in sums.items() if size})


def _part(weights: Weights, prefix: str) -> Weights:
    return {name: value for name, value in weights.items() if name.startswith(prefix)}


def _train(role: Role, number: int, weights: Weights, transport: Transport) -> dict[str, Update]:
    """Address → update of one member's devices."""
    sent = {address: _part(weights, prefix) for address, prefix in role.parts.items()}
    if isinstance(role, VerticalRole):
        for party in role.parties:
            transport.request(party, Begin(number, sent[party]))
        leader = transport.request(role.label_holder, Train(number, sent[role.label_holder]))
        bottoms = {party: transport.request(party, Finish(number)) for party in role.parties}
        return {role.label_holder: leader} | bottoms
    return {role.id: transport.request(role.id, Train(number, sent[role.id]))}


def _mean_loss(admitted: Sequence[Contribution]) -> float:
    ordered = sorted(admitted, key=lambda one: one.update.sender)
    return sum(float(one.share) * one.update.loss for one in ordered if one.update.loss is not None)


@dataclass(frozen=True, eq=False)
class Progress:
    """After ``len(history)`` rounds; a row of history has ``step``, losses, accuracy and the bytes so far."""

    weights: Weights
    history: tuple[dict, ...] = ()
    counts: Counts = Counts()


def run(
    start: Weights,
    rounds: int,
    advance: Callable[[int, Weights], RoundResult],
    validate: Callable[[Weights], dict[str, float]],
    checkpoint: Checkpoint,
    report: Callable[[dict], None] = lambda row: None,
    field: str = "learning_rate",
) -> Progress:
    """Advance ``rounds`` times from ``start``, or from the checkpoint, which is written after every round.

    Args:
        advance: (number of the round, weights) → its result.
        validate: weights → ``{"loss", "accuracy"}`` on held-out data.
        report: called with every new row of history.
        field: the parameter that the learning rate comes from, for the message about divergence.

    Raises:
        InputError: training diverged.
    """
    progress = _resume(checkpoint) or Progress(start)
    for number in range(len(progress.history) + 1, rounds + 1):
        result = advance(number, progress.weights)
        held = validate(result.weights)
        require_finite(held["loss"], "the validation loss", f"round {number}", field=field)
        counts = progress.counts + result.counts
        row = {
            "step": number,
            "train_loss": result.train_loss,
            "validation_loss": held["loss"],
            "validation_accuracy": held["accuracy"],
            "bytes": counts.bytes_horizontal + counts.bytes_vertical,
        }
        progress = replace(progress, weights=result.weights, history=(*progress.history, row), counts=counts)
        checkpoint.save(progress.weights, {"history": progress.history, "counts": asdict(counts)})
        report(row)
    return progress


def _resume(checkpoint: Checkpoint) -> Progress | None:
    saved = checkpoint.load()
    if saved is None:
        return None
    weights, state = saved
    return Progress(weights, tuple(state["history"]), Counts(**state["counts"]))
