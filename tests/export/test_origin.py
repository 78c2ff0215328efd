import itertools

import pytest

from fishbone.errors import InputError
from fishbone.export.int8 import KINDS
from fishbone.export.metadata import PREFIX, as_texts, value_of
from fishbone.export.names import NetworkName, check_file, parse_name
from fishbone.export.origin import Origin, origin

METHODS = ("dense", "channels", "fls", "obs-first-order", "a.b_c", "n0.5")


@pytest.mark.parametrize(
    ("method", "fraction", "int8"), list(itertools.product(METHODS, (None, 0.95, 0.0001), (None, *KINDS)))
)
def test_a_name_is_taken_apart_as_it_was_put_together(method, fraction, int8):
    name = "-".join(str(part) for part in (method, fraction, int8) if part is not None)
    assert parse_name(name) == NetworkName(method, fraction, int8)
    assert str(NetworkName(method, fraction, int8)) == name


@pytest.mark.parametrize("name", ["resnet-18", "net-1.5", "u8s8", "-u8s8", "net-u8s16", "", "a\nb"])
def test_a_name_of_another_form_is_all_method(name):
    assert parse_name(name) == NetworkName(name)


def said(**facts):
    return as_texts({"parent": "71a5"} | facts)


@pytest.mark.parametrize(
    ("metadata", "name", "expected"),
    [
        (said(), "anything", Origin("dense", 0.0)),
        (said(int8="s8s8"), "anything", Origin("dense", 0.0, "s8s8")),
        (said(parent_sparsity=0.95), "fls-0.95", Origin("fls", 0.95)),
        (said(parent_sparsity=0.95, int8="u8s8"), "obs-first-order-0.95-u8s8", Origin("obs-first-order", 0.95, "u8s8")),
        (said(parent_sparsity=0.95), "fls-0.8", Origin(None, 0.95)),
        (said(parent_sparsity=0.95), "mine", Origin(None, 0.95)),
        (said(parent_sparsity=0.95, method="fls"), "mine", Origin("fls", 0.95)),
        (said(channel_fraction=0.5, gamma=0.1), "mine", Origin("channels", 0.5)),
    ],
)
def test_an_exported_file_says_which_network_it_holds(metadata, name, expected):
    assert origin(metadata, name) == expected


def test_a_file_from_elsewhere_says_nothing_whatever_its_name():
    assert origin({}, "fls-0.95-u8s8") == origin({"fishbone.mean": "[0.5]"}, "dense") == Origin()


@pytest.mark.parametrize("value", ["", "{", "null", "[1]", '"fls/../x"', '"<b>"', "true", "-0.5", "1", "7", "NaN"])
@pytest.mark.parametrize("key", ["parent_sparsity", "method", "int8", "channel_fraction"])
def test_damaged_metadata_are_as_good_as_none(key, value):
    good = said(parent_sparsity=0.8)
    found = origin(good | {PREFIX + key: value}, "fls-0.8")
    assert found == (Origin("dense", 0.0) if key == "parent_sparsity" else Origin("fls", 0.8))


def test_facts_come_back_as_they_went_into_metadata():
    facts = {"b": [0.5, None], "a": {"name": "é", "sha256": "x"}}
    texts = as_texts(facts)
    assert list(texts) == ["fishbone.a", "fishbone.b"]
    assert {key: value_of(texts, key) for key in facts} == facts
    assert value_of({"fishbone.deep": "[" * 100_000}, "deep") is None


def test_only_a_name_that_ends_in_onnx_is_taken(tmp_path):
    assert check_file(tmp_path / "a.onnx", field="path") == tmp_path / "a.onnx"
    with pytest.raises(InputError, match=r"path: not an \.onnx file"):
        check_file(tmp_path / "a.pt", field="path")
