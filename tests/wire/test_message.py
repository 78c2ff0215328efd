from dataclasses import FrozenInstanceError, dataclass, field
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from wire_parties import Answer, Detail, Full, Note, content, full

from fishbone.wire.message import Envelope, Message, Refusal, layout, per_class


def test_layout_says_the_form_of_every_field_in_order():
    assert list(layout(Full).items()) == [
        ("one", "tensor"),
        ("count", "value"),
        ("many", "tensors"),
        ("detail", "value"),
        ("loss", "value"),
        ("name", "value"),
        ("flag", "value"),
        ("more", "tensors"),
    ]
    assert layout(Message) == {}


def test_tensors_and_plain_values_are_all_fields_and_of_is_their_inverse():
    message = full()
    assert [name for name, _ in message.tensors()] == ["one", "many/b", "many/a/c"]
    assert message.plain() == {
        "count": 3,
        "detail": Detail(0.5, (1, 2)),
        "loss": None,
        "name": "",
        "flag": False,
    }
    again = Full.of(dict(message.tensors()), message.plain())
    assert content(again) == content(message)
    assert list(again.many) == ["b", "a/c"]
    assert again.more == {}
    assert again.one is message.one


def test_payload_is_the_bytes_of_all_tensors():
    assert full().payload == 4 * (6 + 2 + 1)
    assert Answer(torch.zeros(3, dtype=torch.bfloat16)).payload == 6
    assert Note(3).payload == 0


@pytest.mark.parametrize(
    ("tensors", "values"),
    [
        ({}, {"number": 1}),
        ({"values": torch.zeros(1), "number": torch.zeros(1)}, {}),
        ({"values/a": torch.zeros(1)}, {}),
        ({"values": torch.zeros(1), "other/a": torch.zeros(1)}, {}),
        ({}, {"values": 1}),
        ({"values": torch.zeros(1)}, {"values": 1}),
        ({"values": torch.zeros(1)}, {"more": 1}),
    ],
)
def test_fields_of_another_message_are_refused(tensors, values):
    with pytest.raises(ValueError, match=r"^tensors \[.*\] and values \[.*\] are no Answer$"):
        Answer.of(tensors, values)


def test_tensors_by_name_need_a_name_also_an_empty_one_and_not_the_field_alone():
    values = full().plain()
    assert list(Full.of({"one": torch.zeros(1), "many/": torch.zeros(1)}, values).many) == [""]
    with pytest.raises(ValueError, match="are no Full"):
        Full.of({"one": torch.zeros(1), "many": torch.zeros(1)}, values)


def test_a_message_without_a_kind_of_its_own_is_refused_when_it_is_defined():
    with pytest.raises(TypeError, match=r'^Nameless is a message without a kind: add `kind = "a_word"`$'):

        class Nameless(Message):
            pass

    with pytest.raises(TypeError, match="Inherits is a message without a kind"):

        class Inherits(Note):
            pass

    with pytest.raises(TypeError, match="Empty is a message without a kind"):

        class Empty(Message):
            kind = ""

    with pytest.raises(TypeError, match="Number is a message without a kind"):

        class Number(Message):
            kind = 3


@pytest.mark.parametrize(
    "hint", [Tensor | None, list[Tensor], dict[str, Tensor] | None, dict[int, Tensor], torch.nn.Parameter]
)
def test_a_tensor_where_none_can_be_is_refused_when_the_message_is_defined(hint):
    with pytest.raises(TypeError, match=r"^Odd\.weights is .*: tensors are in Tensor and dict\[str, Tensor\] only$"):

        class Odd(Message):
            kind = "odd"
            weights: hint


@pytest.mark.parametrize("name", ["tensors", "plain", "payload", "of"])
def test_a_field_called_as_a_method_is_refused_when_the_message_is_defined(name):
    with pytest.raises(TypeError, match=rf"^Odd\.{name} is a name that every message has: call the field otherwise$"):
        type("Odd", (Message,), {"kind": "odd", "__annotations__": {name: int}})


def test_a_class_variable_is_no_field():
    @dataclass(frozen=True, eq=False)
    class WithConstant(Message):
        kind = "with_constant"
        constant: ClassVar[list[Tensor]] = []
        number: int = 0

    assert layout(WithConstant) == {"number": "value"}


def test_a_message_that_is_no_dataclass_has_no_layout():
    class Plain(Message):
        kind = "plain"
        number: int = 0

    with pytest.raises(TypeError, match=r"^Plain is no dataclass: write @dataclass\(frozen=True, eq=False\) above it$"):
        layout(Plain)


def test_a_message_of_a_message_has_the_fields_of_both():
    @dataclass(frozen=True, eq=False)
    class Longer(Answer):
        kind = "longer"
        extra: dict[str, Tensor] = field(default_factory=dict)

    assert layout(Longer) == {"values": "tensor", "extra": "tensors"}


def test_messages_and_envelopes_do_not_change_and_equal_only_themselves():
    for one, other in ((full(), full()), (Envelope("a", "b", 0, Note(1)), Envelope("a", "b", 0, Note(1)))):
        assert one == one
        assert one != other
        assert len({one, other}) == 2
        with pytest.raises(FrozenInstanceError):
            setattr(one, next(iter(vars(one))), 3)


def test_a_refusal_has_a_status_and_a_reason():
    assert Refusal.kind == "refusal"
    assert Refusal("late", "why").plain() == {"status": "late", "reason": "why"}


def test_what_is_found_out_per_class_is_found_out_once():
    asked = []
    name = per_class(lambda message: asked.append(message) or message.__name__)
    assert [name(Note), name(Full), name(Note)] == ["Note", "Full", "Note"]
    assert asked == [Note, Full]
