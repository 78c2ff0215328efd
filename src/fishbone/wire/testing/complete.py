"""Whether a policy is what its protocol needs: no rule too many, and none too few."""

from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType

from fishbone.errors import Forbidden
from fishbone.wire.message import Envelope, Message, Refusal
from fishbone.wire.policy import NO_ROLE, Policy, Rule


def rules_used(envelopes: Iterable[Envelope], roles: Mapping[str, str]) -> frozenset[Rule]:
    """What rules the envelopes needed, without refusals, which need none.

    Args:
        envelopes: what an observer saw, such as the ``append`` of a list.
        roles: address → role, as `Memory.roles`.
    """
    return frozenset(
        Rule(type(one.message), roles.get(one.sender, NO_ROLE), roles.get(one.receiver, NO_ROLE))
        for one in envelopes
        if not isinstance(one.message, Refusal)
    )


def check_complete(
    policy: Policy, envelopes: Sequence[Envelope], roles: Mapping[str, str], *modules: ModuleType
) -> None:
    """Hold a policy to a run that does all that the protocol can do.

    Args:
        policy: the rules that should be complete.
        envelopes: what an observer saw in the run, such as the ``append`` of a list.
        roles: address → role, as `Memory.roles`.
        modules: where the protocol's messages are defined.

    Raises:
        AssertionError: a rule was not used, something was sent or tried without one, or no rule names a message.
    """
    used = rules_used(envelopes, roles)
    refusals = [one.message for one in envelopes if isinstance(one.message, Refusal)]
    defined = {each for module in modules for each in vars(module).values() if _is_message_of(each, module)}
    problems = [
        *(f"nobody used {_words(rule)}" for rule in policy.rules - used),
        *(f"no rule for {_words(rule)}" for rule in used - policy.rules),
        *(f"no rule for {refusal.reason}" for refusal in refusals if refusal.status == Forbidden.status),
        *(f"no rule names {message.__name__}" for message in defined - {rule.message for rule in policy.rules}),
    ]
    if problems:
        raise AssertionError("\n".join(sorted(problems)))


def _is_message_of(each: object, module: ModuleType) -> bool:
    return isinstance(each, type) and issubclass(each, Message) and each.__module__ == module.__name__


def _words(rule: Rule) -> str:
    return f"{rule.message.kind} from {rule.sender} to {rule.receiver}"
