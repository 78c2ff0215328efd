"""All parties in one process: messages are copied, counted and checked as on any other carrier, and nobody waits."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from fishbone.wire.actor import Actor, Host, Link, Packed
from fishbone.wire.codec import DEFAULT_LIMITS, Limits, copied, decode, encode
from fishbone.wire.errors import BY_STATUS, Failed, Late, Malformed, Replayed, Unreachable
from fishbone.wire.message import Envelope, Message, Refusal
from fishbone.wire.policy import Policy

Observer = Callable[[Envelope], None]


class Memory:
    """Parties of this process by address.

    Args:
        policy: who may send what to whom.
        observers: called with every envelope before it is delivered, requests and replies alike; one that raises a
            `LinkError` stops the message, any other exception the run.
        through_codec: send every message as a frame, and read it back, as carriers between processes must.
        limits: of frames.
        clock: seconds, for deadlines.
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
        self.through_codec, self.limits, self.clock = through_codec, limits, clock
        self._hosts: dict[str, Host] = {}
        self._roles: dict[str, str] = {}
        self._sent: Counter[tuple[str, str]] = Counter()

    def attach(self, address: str, actor: Actor) -> None:
        """From now on ``actor`` answers at ``address``, from its first state."""
        self._roles[address] = actor.role
        self._hosts[address] = Host(address, actor, self.policy)

    def detach(self, address: str) -> None:
        """Nobody answers there any more."""
        del self._hosts[address]

    def link(self, address: str, role: str) -> Link:
        """For a party that asks from ``address`` and answers nobody, such as the server of a federation."""
        self._roles[address] = role
        return _MemoryLink(self, address)

    def pack(self) -> dict[str, Packed]:
        """Address → the state of every party."""
        return {address: host.actor.pack(host.state) for address, host in self._hosts.items()}

    def unpack(self, states: Mapping[str, Packed]) -> None:
        """Inverse of `pack`, for the same parties."""
        for address, host in self._hosts.items():
            host.state = host.actor.unpack(states[address])

    def ask(self, sender: str, address: str, message: Message, deadline: float | None) -> Message:
        """See `fishbone.wire.actor.Link.ask`."""
        begun = self.clock()
        request = Envelope(sender, address, self._sent[sender, address], message)
        self._sent[sender, address] += 1
        self.policy.check(request, self._roles)
        if address not in self._hosts:
            raise Unreachable(f"nobody answers at {address}")
        reply = self.exchange(request)
        if deadline is not None and self.clock() - begun > deadline:
            raise Late(f"{address} answered {message.kind} too late: the deadline was {deadline:g} s")
        return answer(request, reply)

    def exchange(self, request: Envelope) -> Envelope:
        """Carry a request there and the reply back."""
        host = self._hosts[request.receiver]
        reply = host.answer(self.carry(request), self._roles, _MemoryLink(self, host.address))
        self.policy.check(reply, self._roles)
        return self.carry(reply)

    def carry(self, envelope: Envelope) -> Envelope:
        """The envelope as it arrives: seen by the observers, with tensors of its own."""
        for observer in self.observers:
            observer(envelope)
        if self.through_codec:
            return decode(encode(envelope), self.policy.kinds, self.limits)
        return Envelope(envelope.sender, envelope.receiver, envelope.number, copied(envelope.message))


class _MemoryLink:
    def __init__(self, memory: Memory, address: str):
        self._memory, self._address = memory, address

    def ask(self, address: str, message: Message, deadline: float | None = None) -> Message:
        return self._memory.ask(self._address, address, message, deadline)


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
        raise BY_STATUS.get(reply.message.status, Failed)(f"{reply.sender}: {reply.message.reason}")
    return reply.message
