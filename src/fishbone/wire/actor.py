"""Actors: parties as (state, request) → (state, reply), and the host that runs one.

An actor is a value: configuration, its own data, and no progress. All that changes is in its state, which the host
holds and replaces only when a request was answered. From one session to the next this is exact: the state before is
not touched. Within a session a state holds live modules and optimisers, which are changed in place, since a backward
pass needs the graph that the forward pass of an earlier request left; a request that fails there spoils the session,
and the next one begins from what was finished. Between two sessions a state packs into tensors and JSON, so a
checkpoint of it and of the round's number is all that a resumed run needs. An actor knows others by address and reaches
them through the link that it is handed, so the same actor runs in this process, in another, or on another machine.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from torch import Tensor

from fishbone.errors import Failed, LinkError, Malformed, Replayed
from fishbone.wire.codec import check
from fishbone.wire.errors import line
from fishbone.wire.message import Envelope, Message, Refusal
from fishbone.wire.policy import Policy

log = logging.getLogger(__name__)

State = TypeVar("State")


class Link(Protocol):
    """What a party has of the others: a way to ask them."""

    def ask(self, address: str, message: Message, deadline: float | None = None) -> Message:
        """The reply to a message.

        Args:
            address: where the party is that is asked.
            message: what it is asked.
            deadline: seconds from now; a reply that comes exactly then is in time; None waits as long as it takes. The
                other party may have done what it was asked also when its reply was too late.

        Raises:
            LinkError: there is no usable reply; its class says why.
        """
        ...


@dataclass(frozen=True, eq=False)
class Packed:
    """A state outside a process: tensors by name, and values that JSON has."""

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


class Actor(Protocol[State]):
    """A party."""

    @property
    def role(self) -> str:
        """What the policy calls it."""
        ...

    def start(self) -> State:
        """The state before the first request."""
        ...

    def handle(self, state: State, request: Envelope, link: Link) -> tuple[State, Message]:
        """The next state and the reply.

        Raises:
            LinkError: the request cannot be answered; the host says so to whoever asked.
        """
        ...

    def pack(self, state: State) -> Packed:
        """What `unpack` needs to go on bit for bit; between sessions."""
        ...

    def unpack(self, packed: Packed) -> State:
        """Inverse of `pack`."""
        ...


class Host:
    """One actor, its state, and what it has been asked so far.

    The numbers of the requests that it has seen are not part of the state, and are not packed with it: who goes on from
    a packed state is a new host, which has seen none, and is asked over new links, which count from 0.

    Args:
        address: where the actor is asked.
        actor: whom requests are for.
        policy: checked again here: a sender may not be honest. Whoever carries vouches for the sender's address.
    """

    def __init__(self, address: str, actor: Actor[Any], policy: Policy):
        self.address, self.actor, self.policy = address, actor, policy
        self.state = actor.start()
        self._seen: dict[str, int] = {}
        self._busy = False

    def answer(self, request: Envelope, roles: Mapping[str, str], link: Link) -> Envelope:
        """The reply, or a `Refusal` with the reason; never an exception, or one party could end another's run.

        A `LinkError`, also one of a party that the actor asked in turn, gives its own status. Any other exception is
        the actor's fault: its traceback is logged, the status is ``failed``. The state is as before the request then;
        what the actor changed in place stays changed. The request's number counts as used in any case.

        Args:
            request: the request as it came.
            roles: address → role of all parties.
            link: how the actor reaches others.
        """
        try:
            reply = self._answer(request, roles, link)
        except LinkError as error:
            reply = Refusal(error.status, line(error))
        except Exception as error:
            log.exception("%s could not answer %s", self.address, request.message.kind)
            reply = Refusal(Failed.status, f"{type(error).__name__}: {line(error)}")
        return Envelope(self.address, request.sender, request.number, reply)

    def _answer(self, request: Envelope, roles: Mapping[str, str], link: Link) -> Message:
        if request.receiver != self.address:
            raise Malformed(f"a request to {request.receiver} came to {self.address}")
        if isinstance(request.message, Refusal):
            raise Malformed(f"{request.sender} refused what {self.address} had not asked")
        self.policy.check(request, roles)
        if request.number <= self._seen.get(request.sender, -1):
            raise Replayed(f"request {request.number} from {request.sender} has been there before")
        if self._busy:
            raise Failed(f"{self.address} is asked while it answers: the parties ask in a circle")
        self._seen[request.sender] = request.number
        self._busy = True
        try:
            state, reply = self.actor.handle(self.state, request, link)
        finally:
            self._busy = False
        check(reply)
        self.policy.check(Envelope(self.address, request.sender, request.number, reply), roles)
        self.state = state
        return reply
