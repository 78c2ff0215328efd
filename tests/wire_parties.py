"""Messages and parties for the tests of the wire."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fishbone.wire.actor import Packed
from fishbone.wire.message import Message
from fishbone.wire.policy import Policy, Rule


@dataclass(frozen=True)
class Detail:
    rate: float
    sizes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Full(Message):
    """A message of every form of field."""

    kind = "full"
    one: Tensor
    count: int
    many: dict[str, Tensor]
    detail: Detail
    loss: float | None = None
    name: str = ""
    flag: bool = False
    more: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Question(Message):
    kind = "question"
    values: Tensor
    text: str = ""


@dataclass(frozen=True, eq=False)
class Answer(Message):
    kind = "answer"
    values: Tensor


@dataclass(frozen=True, eq=False)
class Note(Message):
    kind = "note"
    number: int


POLICY = Policy(
    [
        Rule(Question, "asker", "worker"),
        Rule(Answer, "worker", "asker"),
        Rule(Question, "worker", "worker"),
        Rule(Answer, "worker", "worker"),
        Rule(Note, "asker", "worker"),
        Rule(Note, "worker", "asker"),
    ]
)


def full() -> Full:
    return Full(torch.arange(6.0).reshape(2, 3), 3, {"b": torch.ones(2), "a/c": torch.zeros(1)}, Detail(0.5, (1, 2)))


def question(*numbers: float) -> Question:
    return Question(torch.tensor(numbers or (1, 2), dtype=torch.float32))


class Adder:
    """A worker that adds all that it is sent and answers the sum; text and notes steer it.

    Text: an address to ask in turn. Notes: an index into ``acts``, functions of (state, request, link).
    """

    role = "worker"

    def __init__(self, *acts: Callable):
        self.acts = acts

    def start(self):
        return torch.zeros(2)

    def handle(self, state, request, link):
        message = request.message
        if isinstance(message, Note):
            return self.acts[message.number](state, request, link)
        state = state + message.values
        if message.text:
            return state, link.ask(message.text, Question(state))
        return state, Answer(state)

    def pack(self, state):
        return Packed({"sum": state}, {"acts": len(self.acts)})

    def unpack(self, packed):
        return packed.tensors["sum"]


def bits(tensor: Tensor) -> tuple:
    """All that a tensor says: type, shape and bytes, so that NaN equals NaN and -0.0 is not 0.0."""
    raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8) if tensor.numel() else torch.zeros(0)
    return tensor.dtype, tuple(tensor.shape), tuple(raw.tolist())


def content(message: Message) -> tuple:
    """Class, tensors in their order, and values as text (so that NaN equals NaN) of a message."""
    return type(message), [(name, bits(tensor)) for name, tensor in message.tensors()], repr(message.plain())
