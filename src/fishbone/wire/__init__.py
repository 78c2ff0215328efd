"""How two parties talk: messages, who may send what to whom, errors, actors, and what carries the messages.

Examples:
    A party that adds up what it is sent, and another that asks it twice:

    >>> from dataclasses import dataclass
    >>> from fishbone.wire import Memory, Message, Packed, Policy, Rule
    >>> @dataclass(frozen=True, eq=False)
    ... class Number(Message):
    ...     kind = "number"
    ...     value: int
    >>> class Adder:
    ...     role = "adder"
    ...     def start(self):
    ...         return 0
    ...     def handle(self, state, request, link):
    ...         return state + request.message.value, Number(state + request.message.value)
    ...     def pack(self, state):
    ...         return Packed(values={"sum": state})
    ...     def unpack(self, packed):
    ...         return packed.values["sum"]
    >>> memory = Memory(Policy([Rule(Number, "asker", "adder"), Rule(Number, "adder", "asker")]))
    >>> memory.attach("here", Adder())
    >>> link = memory.link("there", "asker")
    >>> [link.ask("here", Number(value)).value for value in (2, 3)]
    [2, 5]
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
