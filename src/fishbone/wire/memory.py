"""All parties in one process: messages are copied, counted and checked as on any other carrier, and nobody waits."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fishbone.errors import ArgumentError, Failed, Late, LinkError, Malformed, Replayed, Unreachable
from fishbone.wire.actor import Actor, Host, Link, Packed
from fishbone.wire.codec import DEFAULT_LIMITS, Limits, check, copied, decode, encode
from fishbone.wire.errors import BY_STATUS, line
from fishbone.wire.message import Envelope, Message, Refusal
from fishbone.wire.policy import Policy

Observer = Callable[[Envelope], None]


class Memory:
    """Parties of this process by address.

    One thread uses it at a time. `pack` gives the parties' states, and not how many requests each has sent and seen:
    pack between sessions, and let the parties that go on be newly attached ones, which all count from 0.

    Args:
        policy: who may send what to whom.
        observers: called with every envelope as it leaves its sender: requests, replies and refusals, each once, also
            those that then get lost. One that raises a `LinkError` stops the message, and whoever asked gets the error.
            Any other exception ends the run: it comes out of the `ask` of the party that asked first, whatever the
            actors between do. The tensors are the sender's own: an observer that keeps them keeps a copy.
        through_codec: send every message as a frame, and read it back, as carriers between processes must.
        limits: what a frame may have at most, where ``through_codec`` makes some.
        clock: the time in seconds, for deadlines.
    """

    def __init__(
        self,
        policy: Policy,
        observers: Sequence[Observer] = (),
        *,
        through_codec: bool = False,
        limits: Limits = DEFAULT_LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.policy, self.observers = policy, tuple(observers)
        self.limits, self.clock = limits, clock
        self.roles: dict[str, str] = {}
        self._through_codec = through_codec
        self._hosts: dict[str, Host] = {}
        self._sent: Counter[tuple[str, str]] = Counter()

    def attach(self, address: str, actor: Actor[Any]) -> None:
        """From now on ``actor`` answers at ``address``, from its first state.

        Raises:
            ArgumentError: somebody has the address.
        """
        self._take(address, actor.role)
        self._hosts[address] = Host(address, actor, self.policy)

    def detach(self, address: str) -> None:
        """Nobody answers there any more, until another party is attached; its state is lost.

        Raises:
            ArgumentError: nobody did.
        """
        if address not in self._hosts:
            raise ArgumentError(f"no party at {address}")
        del self._hosts[address]

    def link(self, address: str, role: str) -> Link:
        """For a party that asks from ``address`` and answers nobody, such as the server of a federation.

        Raises:
            ArgumentError: a party of another role has the address.
        """
        self._take(address, role)
        return _FirstLink(self, address)

    def pack(self) -> dict[str, Packed]:
        """Address → the state of every party."""
        return {address: host.actor.pack(host.state) for address, host in self._hosts.items()}

    def unpack(self, states: Mapping[str, Packed]) -> None:
        """Inverse of `pack`.

        Raises:
            ArgumentError: they are of other parties.
        """
        if states.keys() != self._hosts.keys():
            raise ArgumentError(f"states of {sorted(states)} for {sorted(self._hosts)}")
        for address, host in self._hosts.items():
            host.state = host.actor.unpack(states[address])

    def ask(self, sender: str, address: str, message: Message, deadline: float | None) -> Message:
        """What links do for ``sender``; see `fishbone.wire.actor.Link.ask`."""
        if deadline is not None and not deadline > 0:
            raise Late(f"{address} is not asked for {message.kind}: the deadline of {deadline:g} s is over")
        if address not in self._hosts:
            raise Unreachable(f"nobody answers at {address}")
        begun = self.clock()
        request = Envelope(sender, address, self._sent[sender, address], message)
        check(message)
        self.policy.check(request, self.roles)
        self._sent[sender, address] += 1
        reply = self.exchange(request)
        if deadline is not None and self.clock() - begun > deadline:
            raise Late(f"{address} answered {message.kind} too late: the deadline was {deadline:g} s")
        self.policy.check(reply, self.roles)
        return answer(request, reply)

    def exchange(self, request: Envelope) -> Envelope:
        """Carry a request there and the reply back."""
        return self.carry(self.answered(self.carry(request)))

    def answered(self, request: Envelope) -> Envelope:
        """What the party at the request's receiver replies."""
        link = _MemoryLink(self, request.receiver)
        return self._hosts[request.receiver].answer(request, self.roles, link)

    def carry(self, envelope: Envelope) -> Envelope:
        """The envelope as it arrives, with tensors of its own."""
        if self._through_codec:
            frame = encode(envelope)
            self.observe(envelope)
            return decode(frame, self.policy.kinds, self.limits)
        arrived = Envelope(envelope.sender, envelope.receiver, envelope.number, copied(envelope.message))
        self.observe(envelope)
        return arrived

    def observe(self, envelope: Envelope) -> None:
        """Show the observers an envelope."""
        for observer in self.observers:
            try:
                observer(envelope)
            except LinkError:
                raise
            except Exception as error:
                raise _Ended(error) from error

    def _take(self, address: str, role: str) -> None:
        if address in self._hosts or self.roles.get(address, role) != role:
            raise ArgumentError(f"{address} cannot be {role}: a party of role {self.roles[address]} has this address")
        self.roles[address] = role


class _Ended(BaseException):
    # What an observer raised, on its way past the hosts: they take any Exception for their actor's.
    def __init__(self, error: Exception):
        self.error = error


class _MemoryLink:
    def __init__(self, memory: Memory, address: str):
        self._memory, self._address = memory, address

    def ask(self, address: str, message: Message, deadline: float | None = None) -> Message:
        return self._memory.ask(self._address, address, message, deadline)


class _FirstLink(_MemoryLink):
    def ask(self, address: str, message: Message, deadline: float | None = None) -> Message:
        try:
            return super().ask(address, message, deadline)
        except _Ended as ended:
            error = ended.error
        raise error


def answer(request: Envelope, reply: Envelope) -> Message:
    """The reply's message, once it is known to answer this request.

    Raises:
        LinkError: it is a refusal, of another request, or from somebody else.
    """
    if (reply.sender, reply.receiver) != (request.receiver, request.sender):
        raise Malformed(f"a reply from {reply.sender} to {reply.receiver}, asked was {request.receiver}")
    if reply.number != request.number:
        raise Replayed(f"reply {reply.number} from {reply.sender} to request {request.number}")
    if isinstance(reply.message, Refusal):
        raise BY_STATUS.get(reply.message.status, Failed)(f"{reply.sender}: {line(reply.message.reason)}")
    return reply.message
