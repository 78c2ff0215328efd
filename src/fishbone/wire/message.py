"""Messages: frozen dataclasses with a ``kind``, made of tensors and of values that JSON has.

A field is a tensor (``Tensor``), tensors by name (``dict[str, Tensor]``), or anything else that pydantic can write to
JSON and read back: numbers, texts, tuples of them, frozen dataclasses of them, each possibly None. The class is the
schema: `fishbone.wire.codec` derives from it what a frame may hold.
"""

import dataclasses
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self

from torch import Tensor

SEPARATOR = "/"  # between the field's name and the tensor's, in a frame


@dataclass(frozen=True, eq=False)
class Message:
    """What one party says to another. Subclasses set ``kind``, a word that no other message has."""

    kind: ClassVar[str]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """(``field``, tensor) and (``field/name``, tensor) of all tensors, in the order of the fields."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            match layout(type(self))[field.name]:
                case "tensor":
                    yield field.name, value
                case "tensors":
                    for name, tensor in value.items():
                        yield f"{field.name}{SEPARATOR}{name}", tensor

    def values(self) -> dict[str, Any]:
        """The other fields."""
        return {name: getattr(self, name) for name, form in layout(type(self)).items() if form == "value"}

    @property
    def payload(self) -> int:
        """Bytes of the tensors, without framing."""
        return sum(tensor.nbytes for _, tensor in self.tensors())

    @classmethod
    def of(cls, tensors: dict[str, Tensor], values: dict[str, Any]) -> Self:
        """Inverse of `tensors` and `values`.

        Raises:
            ValueError: they are not this class's fields.
        """
        arguments, taken = dict(values), set()
        for name, form in layout(cls).items():
            if form == "tensor" and name in tensors:
                arguments[name] = tensors[name]
                taken.add(name)
            elif form == "tensors":
                start = name + SEPARATOR
                found = {key: tensor for key, tensor in tensors.items() if key.startswith(start)}
                arguments[name] = {key.removeprefix(start): tensor for key, tensor in found.items()}
                taken |= found.keys()
        if taken != tensors.keys() or arguments.keys() != layout(cls).keys():
            raise ValueError(f"fields {sorted(values)} and tensors {sorted(tensors)[:9]} are no {cls.__name__}")
        return cls(**arguments)


@cache
def layout(message: type[Message]) -> dict[str, str]:
    """Field → ``tensor``, ``tensors`` or ``value``."""
    forms = {Tensor: "tensor", dict[str, Tensor]: "tensors"}
    hints = typing.get_type_hints(message)
    return {field.name: forms.get(hints[field.name], "value") for field in dataclasses.fields(message)}


@dataclass(frozen=True, eq=False)
class Envelope:
    """A message under way. ``number`` counts a sender's requests to a receiver; a reply has its request's."""

    sender: str
    receiver: str
    number: int
    message: Message


@dataclass(frozen=True, eq=False)
class Refusal(Message):
    """The answer of a party that could not answer; `fishbone.wire.errors` has the statuses. Every party may send it."""

    kind = "refusal"
    status: str
    reason: str
