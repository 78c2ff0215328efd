import json
import math
from dataclasses import FrozenInstanceError, dataclass, replace
from datetime import date
from enum import Enum
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from wire_parties import Answer, Detail, Full, Note, Question, content, full

from fishbone.errors import LinkError, Malformed, TooLarge
from fishbone.wire.codec import DEFAULT_LIMITS, DTYPES, PREFIX, Limits, check, copied, decode, encode
from fishbone.wire.message import Envelope, Message

KINDS = {message.kind: message for message in (Full, Answer, Note, Question)}
NUMBERS = st.floats(width=32) | st.just(-0.0)


def sent(message: Message) -> Message:
    return decode(encode(Envelope("a", "b", 7, message)), KINDS).message


def framed(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(PREFIX, "little") + text + data


def parts(message: Message) -> tuple[dict, dict, bytes]:
    """Header, envelope and data of a message's frame."""
    frame = encode(Envelope("a", "b", 7, message))
    length = int.from_bytes(frame[:PREFIX], "little")
    header = json.loads(frame[PREFIX : PREFIX + length])
    return header, json.loads(header["__metadata__"]["envelope"]), frame[PREFIX + length :]


def changed(message: Message, **envelope: object) -> bytes:
    """The frame of a message with other entries in its envelope."""
    header, found, data = parts(message)
    header["__metadata__"]["envelope"] = json.dumps({**found, **envelope})
    return framed(header, data)


@st.composite
def tensors(draw):
    dtype = draw(st.sampled_from(list(DTYPES.values())))
    shape = draw(st.lists(st.integers(0, 3), max_size=4))
    count = math.prod(shape)
    tensor = torch.tensor(draw(st.lists(NUMBERS, min_size=count, max_size=count)), dtype=torch.float32)
    if not dtype.is_floating_point:
        tensor = tensor.nan_to_num(0, 1, 0).clamp(0, 100)
    tensor = tensor.to(dtype).reshape(shape)
    return tensor.t() if tensor.ndim == 2 and draw(st.booleans()) else tensor


@st.composite
def messages(draw):
    named = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), tensors(), max_size=3)
    whole = st.integers(-(2**70), 2**70)
    real = st.floats()
    return Full(
        draw(tensors()),
        draw(whole),
        draw(named),
        Detail(draw(real), tuple(draw(st.lists(whole, max_size=3)))),
        draw(st.none() | real),
        draw(st.text(st.characters(codec="utf-8"), max_size=8)),
        draw(st.booleans()),
        draw(named),
    )


@settings(max_examples=150, deadline=None)
@given(messages(), st.text(st.characters(codec="utf-8"), max_size=5), st.integers(0, 2**70))
def test_what_was_sent_arrives_bit_for_bit_through_the_codec_and_as_a_copy(message, address, number):
    envelope = decode(encode(Envelope(address, "b", number, message)), KINDS)
    assert (envelope.sender, envelope.receiver, envelope.number) == (address, "b", number)
    assert content(envelope.message) == content(message)
    assert content(copied(message)) == content(message)
    assert list(envelope.message.many) == list(message.many)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_give_a_link_error(frame):
    with pytest.raises(LinkError):
        decode(frame, KINDS)
    with pytest.raises(LinkError):
        decode(len(frame).to_bytes(PREFIX, "little") + frame, KINDS)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_frame_with_other_bytes_is_a_message_or_a_link_error(data):
    frame = bytearray(encode(Envelope("a", "b", 7, full())))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    start = data.draw(st.just(0) | st.integers(0, len(frame)))
    try:
        arrived = decode(bytes(frame[start:]), KINDS)
    except LinkError:
        return
    assert decode(encode(arrived), KINDS).number == arrived.number


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["dtype", "shape", "data_offsets", "entry", "metadata", "envelope", "header"]), JSON)
def test_any_json_in_a_header_is_a_message_or_a_link_error(place, value):
    header, _, data = parts(full())
    match place:
        case "header":
            header = value
        case "metadata":
            header["__metadata__"] = value
        case "envelope":
            header["__metadata__"]["envelope"] = json.dumps(value)
        case "entry":
            header["one"] = value
        case _:
            header["one"][place] = value
    with pytest.raises(LinkError):
        decode(framed(header, data), KINDS)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["kind", "sender", "receiver", "number", "tensors", "values"]), JSON)
def test_any_json_in_an_envelope_is_a_message_with_that_or_a_link_error(field, value):
    try:
        arrived = decode(changed(full(), **{field: value}), KINDS)
    except LinkError:
        return
    assert type(value) is (int if field == "number" else str)
    assert getattr(arrived, field) == value


@pytest.mark.parametrize(
    ("envelope", "reason"),
    [
        ({"kind": "other"}, "'other'"),
        ({"number": -1}, "greater than or equal to 0"),
        ({"number": True}, "valid integer"),
        ({"number": 7.0}, "valid integer"),
        ({"sender": 5}, "valid string"),
        ({"receiver": None}, "valid string"),
        ({"tensors": []}, r"tensors \['values'\] for \[\]"),
        ({"tensors": ["values", "values"]}, "its text is not the one"),
        ({"tensors": ["values", "other"]}, r"tensors \['values'\] for \['other', 'values'\]"),
        ({"values": {}}, r"values \[\] for \['text'\]"),
        ({"values": {"text": "", "more": 1}}, r"values \['more', 'text'\] for \['text'\]"),
        ({"values": {"text": 1}}, "valid string"),
        ({"more": 1}, "its text is not the one"),
    ],
)
def test_an_envelope_that_is_not_the_messages_is_malformed(envelope, reason):
    frame = changed(Question(torch.zeros(2)), **envelope)
    with pytest.raises(Malformed, match=f"^a frame that is no message: [A-Za-z]+: .*{reason}"):
        decode(frame, KINDS)


@pytest.mark.parametrize(
    "header",
    [
        [],
        {},
        None,
        {"__metadata__": None},
        {"__metadata__": {}},
        {"__metadata__": {"envelope": 3}},
        {"__metadata__": {"other": "{}"}},
    ],
)
def test_a_header_without_an_envelope_is_malformed(header):
    with pytest.raises(Malformed, match=r"^a frame that is no message: ValueError: its header has no envelope$"):
        decode(framed(header), KINDS)


def test_a_tensor_without_a_type_or_shape_is_malformed():
    header, _, data = parts(Answer(torch.zeros(2)))
    for entry in (None, [], {"dtype": "F32"}, {"shape": [2]}):
        header["values"] = entry
        with pytest.raises(Malformed, match="its header says something else than types and shapes"):
            decode(framed(header, data), KINDS)


def test_a_key_twice_is_malformed_in_the_header_and_in_the_envelope():
    header, _, data = parts(Answer(torch.zeros(2)))
    entry = json.dumps(header["values"])
    text = json.dumps(header)
    with pytest.raises(Malformed, match="a key twice"):
        decode(framed(f'{text[:-1]}, "values": {entry}}}'.encode(), data), KINDS)
    header["__metadata__"]["envelope"] = header["__metadata__"]["envelope"][:-1] + ', "number": 7}'
    with pytest.raises(Malformed, match="its text is not the one"):
        decode(framed(header, data), KINDS)


def test_a_value_is_not_made_of_one_of_another_type():
    with pytest.raises(Malformed, match="valid integer"):
        decode(changed(Note(1), values={"number": "1"}), KINDS)


def test_a_value_of_a_dataclass_with_more_fields_is_malformed():
    _, envelope, _ = parts(full())
    values = envelope["values"]
    values["detail"]["more"] = 1
    with pytest.raises(Malformed, match="its text is not the one"):
        decode(changed(full(), values=values), KINDS)


@pytest.mark.parametrize("shape", [[3], [1], [2.0], [1e30], ["2"], [True, 2], [-2], [-1, -2], [-1, 2**60], 2, None])
def test_a_shape_that_is_not_that_of_the_data_is_malformed(shape):
    header, _, data = parts(Answer(torch.zeros(2)))
    header["values"]["shape"] = shape
    with pytest.raises(Malformed):
        decode(framed(header, data), KINDS)


@pytest.mark.parametrize("dtype", ["C64", "U16", "U32", "U64", "F8_E4M3", "f32", "F31", 3, None, ["F32"]])
def test_a_type_that_is_not_in_the_list_is_malformed(dtype):
    header, _, data = parts(Answer(torch.zeros(2)))
    header["values"]["dtype"] = dtype
    with pytest.raises(Malformed):
        decode(framed(header, data), KINDS)


def test_a_tensor_of_a_type_outside_the_list_is_refused_though_safetensors_has_it():
    header, _, data = parts(Answer(torch.zeros(2)))
    header["values"] = {"dtype": "C64", "shape": [1], "data_offsets": [0, 8]}
    with pytest.raises(Malformed, match=r"a tensor of type C64 and shape \[1\]"):
        decode(framed(header, data), KINDS)


def test_bytes_that_are_neither_true_nor_false_are_malformed():
    frame = encode(Envelope("a", "b", 0, Answer(torch.tensor([True, False]))))
    with pytest.raises(Malformed, match="values has bytes that are neither true nor false"):
        decode(frame[:-1] + b"\x02", KINDS)
    assert decode(frame[:-1] + b"\x01", KINDS).message.values.tolist() == [True, True]


def test_a_header_that_is_not_utf8_is_malformed():
    frame = encode(Envelope("a", "b", 0, Note(1)))
    text = frame[PREFIX:].decode().encode("utf-16")
    with pytest.raises(Malformed, match="UnicodeDecodeError"):
        decode(framed(text), KINDS)


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 9, 100, -1])
def test_a_cut_frame_is_malformed(cut):
    with pytest.raises(Malformed):
        decode(encode(Envelope("a", "b", 0, full()))[:cut], KINDS)


def test_bytes_after_the_tensors_are_malformed():
    with pytest.raises(Malformed):
        decode(encode(Envelope("a", "b", 0, full())) + b"\0", KINDS)


def test_a_deep_header_or_envelope_is_malformed():
    with pytest.raises(Malformed):
        decode(framed(b"[" * 100_000), KINDS)
    deep = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    with pytest.raises(Malformed):
        decode(framed({"__metadata__": {"envelope": deep.decode()}}), KINDS)


def test_an_error_shows_little_of_what_came():
    with pytest.raises(Malformed) as error:
        decode(changed(Note(1), kind="x\n" * 10_000), KINDS)
    assert len(str(error.value)) < 400
    assert "\n" not in str(error.value)


def test_the_limits_are_these():
    assert Limits() == Limits(frame=268_435_456, header=1_048_576, tensors=4096, dims=8)
    assert Limits() == DEFAULT_LIMITS
    with pytest.raises(FrozenInstanceError):
        DEFAULT_LIMITS.frame = 1


def test_a_frame_may_be_as_long_as_the_limit_and_no_longer():
    frame = encode(Envelope("a", "b", 0, Answer(torch.zeros(100))))
    decode(frame, KINDS, Limits(frame=len(frame)))
    with pytest.raises(TooLarge, match=f"^a frame of {len(frame)} bytes; at most {len(frame) - 1} are taken$"):
        decode(frame, KINDS, Limits(frame=len(frame) - 1))


def test_a_header_may_be_as_long_as_the_limit_and_no_longer():
    frame = encode(Envelope("a", "b", 0, Note(1)))
    length = len(frame) - PREFIX
    decode(frame, KINDS, Limits(header=length))
    with pytest.raises(TooLarge, match=f"^a header of {length} bytes; at most {length - 1} are taken$"):
        decode(frame, KINDS, Limits(header=length - 1))
    with pytest.raises(TooLarge, match=r"^a header of 18446744073709551615 bytes"):
        decode(b"\xff" * PREFIX, KINDS)


def test_there_may_be_as_many_tensors_as_the_limit_and_no_more():
    frame = encode(Envelope("a", "b", 0, full()))
    decode(frame, KINDS, Limits(tensors=3))
    with pytest.raises(TooLarge, match=r"^3 tensors; at most 2 are taken$"):
        decode(frame, KINDS, Limits(tensors=2))


def test_a_tensor_may_have_as_many_dimensions_as_the_limit_and_no_more():
    frame = encode(Envelope("a", "b", 0, Answer(torch.zeros(1, 2, 3))))
    decode(frame, KINDS, Limits(dims=3))
    with pytest.raises(TooLarge, match=r"^a tensor of shape \[1, 2, 3\]$"):
        decode(frame, KINDS, Limits(dims=2))


def test_the_sizes_of_an_empty_tensor_are_limited_too():
    def of(shape):
        header, _, data = parts(Answer(torch.zeros(0)))
        header["values"]["shape"] = shape
        return framed(header, data)

    assert decode(of([0, 30, 30]), KINDS, Limits(frame=900)).message.values.shape == (0, 30, 30)
    with pytest.raises(TooLarge, match=r"shape \[0, 30, 30\]"):
        decode(of([0, 30, 30]), KINDS, Limits(frame=899))
    for shape in ([0, 2**62, 4], [0, 2**63], [2**64, 0], [2**33, 2**31, 0]):
        with pytest.raises(TooLarge):
            decode(of(shape), KINDS)


def test_a_tensor_that_claims_more_than_the_frame_is_refused_before_it_is_made():
    header, _, data = parts(Answer(torch.zeros(2)))
    header["values"] = {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}
    with pytest.raises(TooLarge):
        decode(framed(header, data), KINDS)
    header["values"] = {"dtype": "F32", "shape": [2**20], "data_offsets": [0, 2**22]}
    with pytest.raises(Malformed):
        decode(framed(header, data), KINDS)


def handed_over(message: Message) -> Message:
    check(message)
    return copied(message)


@pytest.mark.parametrize("carried", [sent, handed_over])
class TestBothWays:
    """Facts of the codec and of the copy that stands for it."""

    def test_tensors_that_share_memory_arrive_apart(self, carried):
        whole = torch.arange(6.0)
        arrived = carried(replace(full(), one=whole, many={"a": whole, "b": whole[2:4], "c": whole[2:]}))
        assert [tensor.tolist() for tensor in arrived.many.values()] == [[0, 1, 2, 3, 4, 5], [2, 3], [2, 3, 4, 5]]
        arrived.one.zero_()
        arrived.many["a"].fill_(9)
        assert arrived.many["c"].tolist() == [2, 3, 4, 5]
        assert whole.tolist() == [0, 1, 2, 3, 4, 5]

    def test_a_graph_stays_behind(self, carried):
        weight = torch.nn.Parameter(torch.ones(2))
        arrived = carried(replace(full(), one=weight * 2, many={"w": weight}))
        assert arrived.one.requires_grad is False
        assert type(arrived.many["w"]) is Tensor
        assert weight.requires_grad

    def test_a_view_arrives_dense(self, carried):
        image = torch.arange(24.0).reshape(1, 2, 3, 4)
        for view in (
            image.contiguous(memory_format=torch.channels_last),
            image.transpose(1, 3),
            image[:, :, ::2],
            torch.ones(1).expand(3, 2),
        ):
            arrived = carried(Answer(view)).values
            assert arrived.is_contiguous()
            assert arrived.shape == view.shape
            assert torch.equal(arrived, view)
            assert arrived.untyped_storage().nbytes() == arrived.nbytes

    def test_the_memory_is_aligned_as_torchs_own(self, carried):
        arrived = carried(replace(full(), many={"a": torch.zeros(3, dtype=torch.uint8), "b": torch.zeros(5)}))
        assert {tensor.data_ptr() % 64 for _, tensor in arrived.tensors()} == {0}

    def test_mutable_values_arrive_apart(self, carried):
        sizes = [1, 2]
        arrived = carried(Sizes(sizes))
        arrived.sizes.append(3)
        assert sizes == [1, 2]

    @pytest.mark.parametrize("dtype", [torch.complex64, torch.float8_e4m3fn, torch.uint16])
    def test_types_outside_the_list_are_not_sent(self, carried, dtype):
        with pytest.raises(TypeError, match=rf"^answer: values is {dtype}, torch.strided; sent are dense \['BOOL', "):
            carried(Answer(torch.zeros(2, dtype=dtype)))

    def test_a_sparse_tensor_is_not_sent(self, carried):
        with pytest.raises(TypeError, match=r"torch.sparse_coo"):
            carried(Answer(torch.eye(2).to_sparse()))

    def test_what_is_no_tensor_is_not_sent(self, carried):
        with pytest.raises(TypeError, match=r"^answer: values is NoneType, not a tensor$"):
            carried(Answer(None))

    @pytest.mark.parametrize(
        "wrong",
        [
            {"count": "3"},
            {"count": 1.5},
            {"detail": None},
            {"name": b"x"},
            {"loss": "low"},
            {"flag": None},
        ],
    )
    def test_a_value_of_another_type_is_not_sent(self, carried, wrong):
        with pytest.raises(ValueError, match=r"^[a-z]+: [a-z]+: 1 validation error"):
            carried(replace(full(), **wrong))

    def test_a_dataclass_with_a_value_of_another_type_is_not_sent(self, carried):
        with pytest.raises(ValueError, match=r"^full: detail: .*Expected `float`"):
            carried(replace(full(), detail=Detail("fast", (1,))))

    def test_values_that_json_writes_as_text_arrive_as_they_were(self, carried):
        place = Place(Path("a/b"), Fraction.HALF, frozenset({3}), date(2026, 11, 30))
        assert carried(place).plain() == place.plain()


class Fraction(Enum):
    HALF = "1/2"


@dataclass(frozen=True, eq=False)
class Place(Message):
    kind = "place"
    path: Path
    fraction: Fraction
    numbers: frozenset[int]
    day: date


@dataclass(frozen=True, eq=False)
class Sizes(Message):
    kind = "sizes"
    sizes: list[int]


KINDS |= {"sizes": Sizes, "place": Place}


def test_what_can_be_sent_is_found_out_without_sending():
    check(full())
    with pytest.raises(TypeError, match=r"torch.complex64"):
        check(Answer(torch.zeros(1, dtype=torch.complex64)))
    with pytest.raises(ValueError, match=r"^[a-z]+: [a-z]+: 1 validation error"):
        check(Note("1"))
    with pytest.raises(TypeError, match=r"^NoneType is no message$"):
        check(None)


def test_a_frame_does_not_depend_on_the_order_in_which_python_hashes():
    assert encode(Envelope("a", "b", 7, full())) == encode(Envelope("a", "b", 7, full()))


@dataclass(frozen=True, eq=False)
class Settings(Message):
    kind = "settings"
    named: dict[str, int]
    detail: Detail


def test_a_copy_shares_what_nobody_can_change_and_nothing_else():
    sent_ = Settings({"a": 1}, Detail(0.5, (1, 2)))
    arrived = copied(sent_)
    assert arrived.detail is sent_.detail
    assert arrived.named == sent_.named
    assert arrived.named is not sent_.named
