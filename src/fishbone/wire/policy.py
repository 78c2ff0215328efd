"""Who may send what to whom: a complete list, by roles. All else is `Forbidden`, for sender and receiver alike."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fishbone.errors import ArgumentError, Forbidden
from fishbone.wire.message import Envelope, Message, Refusal, layout

NO_ROLE = "nobody"  # what an address is that no party has


@dataclass(frozen=True)
class Rule:
    """A party of role ``sender`` may send ``message`` to a party of role ``receiver``."""

    message: type[Message]
    sender: str
    receiver: str


class Policy:
    """The rules of one protocol, and thereby its messages.

    A `Refusal` may go wherever a message may come from: it is the answer to it.

    Args:
        rules: all that may be sent, in any order.

    Examples:
        >>> @dataclass(frozen=True, eq=False)
        ... class Hello(Message):
        ...     kind = "hello"
        >>> policy = Policy([Rule(Hello, "client", "server")])
        >>> roles = {"a": "client", "b": "server"}
        >>> policy.check(Envelope("a", "b", 0, Hello()), roles)
        >>> policy.check(Envelope("b", "a", 0, Hello()), roles)
        Traceback (most recent call last):
        fishbone.errors.Forbidden: hello from b (server) to a (client)

    Raises:
        TypeError: a message is no dataclass.
        ArgumentError: two messages have the same kind.
    """

    def __init__(self, rules: Iterable[Rule]):
        self.rules = frozenset(rules)
        messages = {rule.message for rule in self.rules} | {Refusal}
        for message in messages:
            layout(message)
        self.kinds: Mapping[str, type[Message]] = {message.kind: message for message in messages}
        if len(self.kinds) < len(messages):
            raise ArgumentError(f"two of {sorted(message.__name__ for message in messages)} have the same kind")
        self._allowed = self.rules | {Rule(Refusal, rule.receiver, rule.sender) for rule in self.rules}

    def check(self, envelope: Envelope, roles: Mapping[str, str]) -> None:
        """Let an envelope pass.

        Args:
            envelope: what is sent, or has come.
            roles: address → role of all parties.

        Raises:
            Forbidden: no rule allows it.
        """
        sender, receiver = (roles.get(address, NO_ROLE) for address in (envelope.sender, envelope.receiver))
        if Rule(type(envelope.message), sender, receiver) not in self._allowed:
            kind = envelope.message.kind
            raise Forbidden(f"{kind} from {envelope.sender} ({sender}) to {envelope.receiver} ({receiver})")
