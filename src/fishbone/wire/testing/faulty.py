"""A carrier on which messages get lost, late, doubled, swapped and spoilt, and a clock that only a test moves."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, get_args

from fishbone.errors import Late, LinkError, Unreachable
from fishbone.wire.actor import Actor, Link, Packed
from fishbone.wire.codec import DEFAULT_LIMITS, PREFIX, Limits, decode, encode
from fishbone.wire.memory import Memory, Observer
from fishbone.wire.message import Envelope, Message, Refusal
from fishbone.wire.policy import Policy

What = Literal["drop", "delay", "repeat", "reorder", "corrupt", "nan", "raise"]


class FakeClock:
    """Seconds that pass only when a test, or a fault, says so.

    Examples:
        >>> clock = FakeClock()
        >>> clock.advance(1.5)
        >>> clock()
        1.5
    """

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: it would run back.
        """
        if not seconds >= 0:
            raise ValueError(f"a clock does not run {seconds} s on")
        self._now += seconds


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong, with the messages that it goes wrong with.

    - ``drop``: the message does not arrive. Who asked is `Late` when its deadline is over; without a deadline it would
      wait for ever, and gets `Unreachable` instead.
    - ``delay``: ``seconds`` pass before it arrives.
    - ``repeat``: it arrives twice. A request, at once: the asked party refuses the second. A reply, again in place of
      the next one from there, so that the next ask gets `Replayed`.
    - ``reorder``: it arrives after the next one of the same link. A request is then refused, a reply gives `Replayed`.
      Until then it is as if dropped.
    - ``corrupt``: a byte of the frame's header arrives as another, which gives `Malformed`.
    - ``nan``: a number of its first tensor of floats is NaN. Without such a tensor the fault passes the message by.
    - ``raise``: the actor that is asked raises ``RuntimeError``; only requests meet this fault.

    Args:
        what: one of these words.
        kind: of the messages that it strikes; None for all.
        sender: address from which they come; None for all.
        receiver: address to which they go; None for all.
        times: how many of them it strikes; None for all.
        after: how many of them pass before.
        seconds: how long a delay is.

    Raises:
        ValueError: there is no such fault, or a delay of no time, or a time without a delay.
    """

    what: What
    kind: str | None = None
    sender: str | None = None
    receiver: str | None = None
    times: int | None = 1
    after: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.what not in get_args(What):
            raise ValueError(f"no fault {self.what!r}; there are {', '.join(get_args(What))}")
        if (self.what == "delay") != (self.seconds > 0):
            raise ValueError(f"{self.what} and {self.seconds} s: a delay, and nothing else, has seconds")

    def concerns(self, envelope: Envelope) -> bool:
        """Whether the envelope is of this kind, sender and receiver."""
        wanted = (self.kind, self.sender, self.receiver)
        found = (envelope.message.kind, envelope.sender, envelope.receiver)
        return all(want in (None, have) for want, have in zip(wanted, found, strict=True))


class Faulty(Memory):
    """`fishbone.wire.memory.Memory`, through the codec, on which the given faults happen; the same ones in every run.

    Attributes:
        clock: that of the deadlines.
        struck: how often each fault happened; a test of a fault should see that it did.
        refused: statuses of the refusals that repeated and reordered requests got, to which nobody listens.

    Args:
        policy: who may send what to whom.
        observers: called with every envelope, as by `Memory`.
        faults: what happens; of several to one message, the order is drop, delay, corrupt, nan, raise.
        seed: decides which byte or number is hit; the same seed hits the same.
        limits: what a frame may have at most.
        clock: what deadlines are measured with; None makes one.
    """

    def __init__(
        self,
        policy: Policy,
        observers: Sequence[Observer] = (),
        *,
        faults: Iterable[Fault],
        seed: int = 0,
        limits: Limits = DEFAULT_LIMITS,
        clock: FakeClock | None = None,
    ):
        self.clock: FakeClock = clock or FakeClock()
        super().__init__(policy, observers, limits=limits, clock=self.clock)
        self.faults = tuple(faults)
        self.struck: Counter[Fault] = Counter()
        self.refused: Counter[str] = Counter()
        self._met = [0] * len(self.faults)
        self._random = random.Random(seed)
        self._held: dict[tuple[str, str], Envelope] = {}
        self._stale: dict[tuple[str, str], Envelope] = {}

    def attach(self, address: str, actor: Actor[Any]) -> None:
        """See `Memory.attach`."""
        super().attach(address, _MayRaise(actor, self))

    def ask(self, sender: str, address: str, message: Message, deadline: float | None) -> Message:
        """See `Memory.ask`."""
        begun = self.clock()
        try:
            return super().ask(sender, address, message, deadline)
        except _Lost:
            if deadline is None:
                raise Unreachable(f"no answer from {address}, and no deadline to wait for") from None
            self.clock.advance(max(0.0, begun + deadline - self.clock()))
            raise Late(f"no answer from {address} to {message.kind} within {deadline:g} s") from None

    def exchange(self, request: Envelope) -> Envelope:
        """See `Memory.exchange`."""
        there, back = (request.sender, request.receiver), (request.receiver, request.sender)
        request = self.carry(request)
        held = self._held.pop(there, None)
        if self.strikes("reorder", request):
            self._held[there] = request
            raise _Lost
        reply = self.answered(request)
        if held is not None:
            self._refuse(held)
        if self.strikes("repeat", request):
            self._refuse(request)
        reply = self.carry(reply)
        stale = self._stale.pop(back, None)
        if self.strikes("repeat", reply):
            self._stale[back] = reply
        if self.strikes("reorder", reply):
            self._stale[back] = reply
            raise _Lost
        return stale or reply

    def carry(self, envelope: Envelope) -> Envelope:
        """See `Memory.carry`."""
        frame = encode(envelope)
        self.observe(envelope)
        if self.strikes("drop", envelope):
            raise _Lost
        for fault in self.strikes("delay", envelope):
            self.clock.advance(fault.seconds)
        if self.strikes("corrupt", envelope):
            frame = self._corrupted(frame)
        arrived = decode(frame, self.policy.kinds, self.limits)
        floats = [tensor for _, tensor in arrived.message.tensors() if tensor.is_floating_point() and tensor.numel()]
        if floats and self.strikes("nan", arrived):
            floats[0].view(-1)[self._random.randrange(floats[0].numel())] = float("nan")
        return arrived

    def strikes(self, what: What, envelope: Envelope) -> list[Fault]:
        """The faults of this sort that happen to an envelope, which counts as met; called once for each envelope."""
        struck = []
        for place, fault in enumerate(self.faults):
            if fault.what == what and fault.concerns(envelope):
                self._met[place] += 1
                met = self._met[place] - fault.after
                if met >= 1 and (fault.times is None or met <= fault.times):
                    struck.append(fault)
        self.struck.update(struck)
        return struck

    def _refuse(self, request: Envelope) -> None:
        with suppress(_Lost, LinkError):
            reply = self.carry(self.answered(request)).message
            if isinstance(reply, Refusal):
                self.refused[reply.status] += 1

    def _corrupted(self, frame: bytes) -> bytes:
        # A high bit within the opening that every header has: no UTF-8 any more, so that no reader can take it.
        place = PREFIX + self._random.randrange(len('{"__metadata__":'))
        return frame[:place] + bytes([frame[place] ^ 0x80]) + frame[place + 1 :]


class _Lost(Exception):
    """Nothing will come; made a `LinkError` by the `ask` that waits for it."""


class _MayRaise:
    def __init__(self, actor: Actor[Any], carrier: Faulty):
        self._actor, self._carrier = actor, carrier

    @property
    def role(self) -> str:
        return self._actor.role

    def start(self) -> Any:
        return self._actor.start()

    def handle(self, state: Any, request: Envelope, link: Link) -> tuple[Any, Message]:
        if self._carrier.strikes("raise", request):
            raise RuntimeError("an injected fault")
        return self._actor.handle(state, request, link)

    def pack(self, state: Any) -> Packed:
        return self._actor.pack(state)

    def unpack(self, packed: Packed) -> Any:
        return self._actor.unpack(packed)
