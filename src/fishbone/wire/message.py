"""Messages: frozen dataclasses with a ``kind``, made of tensors and of values that JSON has.

A field is a tensor (``Tensor``), tensors by name (``dict[str, Tensor]``; an empty one says that there are none), or
anything else that pydantic can write to JSON and read back as it was: numbers, texts, tuples of them, frozen
dataclasses of them, each possibly None. The class is the schema: `fishbone.wire.codec` derives from it what a frame may
hold.
"""

import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal, Self, TypeVar, cast

from torch import Tensor

from fishbone.errors import ArgumentError

SEPARATOR = "/"  # between the field's name and the tensor's, in a frame; no field's name has one

Form = Literal["tensor", "tensors", "value"]
T = TypeVar("T")


def per_class(function: Callable[[type[Any]], T]) -> Callable[[type[Any]], T]:
    """`functools.cache` for a function of a class; type checkers do not know that classes have a hash."""
    return cast(Callable[[type[Any]], T], cache(function))


@dataclass(frozen=True, eq=False)
class Message:
    """What one party says to another. Each subclass sets ``kind``, a word that no other message of a policy has.

    Raises:
        TypeError: a subclass is defined without a kind of its own, with a tensor in a field where none can be,
            or with a field called as a method is.
    """

    kind: ClassVar[str]

    def __init_subclass__(cls, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        kind = vars(cls).get("kind")
        if not (isinstance(kind, str) and kind):
            raise TypeError(f'{cls.__name__} is a message without a kind: add `kind = "a_word"`')
        for name, hint in typing.get_type_hints(cls).items():
            if name in vars(Message):
                raise TypeError(f"{cls.__name__}.{name} is a name that every message has: call the field otherwise")
            if typing.get_origin(hint) is not ClassVar and _form(hint) == "value" and _mentions_tensor(hint):
                raise TypeError(f"{cls.__name__}.{name} is {hint}: tensors are in Tensor and dict[str, Tensor] only")

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """(``field``, tensor) and (``field/name``, tensor) of all tensors, in the order of the fields."""
        for field, form in layout(type(self)).items():
            if form == "tensor":
                yield field, getattr(self, field)
            elif form == "tensors":
                for name, tensor in getattr(self, field).items():
                    yield f"{field}{SEPARATOR}{name}", tensor

    def plain(self) -> dict[str, Any]:
        """The fields that are no tensors."""
        return {field: getattr(self, field) for field in _fields(type(self), "value")}

    @property
    def payload(self) -> int:
        """Bytes of the tensors, without framing."""
        return sum(tensor.nbytes for _, tensor in self.tensors())

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> Self:
        """Inverse of `tensors` and `plain`.

        Raises:
            ArgumentError: they are not this class's fields.
        """
        groups: dict[str, dict[str, Tensor]] = {field: {} for field in _fields(cls, "tensors")}
        single: dict[str, Tensor] = {}
        for key, tensor in tensors.items():
            field, separator, name = key.partition(SEPARATOR)
            if separator and field in groups:
                groups[field][name] = tensor
            else:
                single[key] = tensor
        if single.keys() != set(_fields(cls, "tensor")) or values.keys() != set(_fields(cls, "value")):
            raise ArgumentError(f"tensors {sorted(tensors)[:9]} and values {sorted(values)[:9]} are no {cls.__name__}")
        return cls(**values, **single, **groups)


@per_class
def layout(message: type[Any]) -> dict[str, Form]:
    """The form of each field of a message class, in the order of the fields.

    Raises:
        TypeError: the class has no ``@dataclass`` of its own, so its fields are not known.
    """
    if "__dataclass_fields__" not in vars(message):
        raise TypeError(f"{message.__name__} is no dataclass: write @dataclass(frozen=True, eq=False) above it")
    hints = typing.get_type_hints(message)
    return {field.name: _form(hints[field.name]) for field in dataclasses.fields(message)}


def _fields(message: type[Message], wanted: Form) -> list[str]:
    return [field for field, form in layout(message).items() if form == wanted]


def _form(hint: object) -> Form:
    return "tensor" if hint == Tensor else "tensors" if hint == dict[str, Tensor] else "value"


def _mentions_tensor(hint: object) -> bool:
    is_tensor = isinstance(hint, type) and issubclass(hint, Tensor)
    return is_tensor or any(_mentions_tensor(part) for part in typing.get_args(hint))


@dataclass(frozen=True, eq=False)
class Envelope:
    """A message under way. ``number`` counts a sender's requests to a receiver from 0; a reply has its request's."""

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
