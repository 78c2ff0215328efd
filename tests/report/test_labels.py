import pytest

from fishbone.export.names import NetworkName, parse_name
from fishbone.report.labels import benched, method_label, network_label, percent, row_label
from fishbone.report.methods import METHODS


def row(name, method=None, sparsity=None, int8=None, runtime="onnxruntime"):
    return {"name": name, "method": method, "sparsity": sparsity, "int8": int8, "runtime": runtime}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("dense", "dense"),
        ("dense-s8s8", "dense, int8 S8S8"),
        ("fls-0.95", "FLS 95 %"),
        ("fls-0.95-u8s8", "FLS 95 %, int8 U8S8"),
        ("channels-0.5", "FLS, whole channels 50 %"),
        ("mine-0.5", "mine 50 %"),
    ],
)
def test_an_exported_file_is_named_for_people_as_its_name_says(name, label):
    assert network_label(parse_name(name)) == label


@pytest.mark.parametrize("name", ["mine", "my-net-2", "-u8s8", ":sparse", "", "a\nb", "net-1.5", "hovefl-12"])
def test_other_names_are_shown_as_they_are(name):
    assert method_label(name) == network_label(parse_name(name)) == name


def test_a_method_is_shown_by_its_label():
    assert all(method_label(name) == method.label for name, method in METHODS.items())
    assert method_label("hovefl-9-9") == "HoVeFL 9 H + 9 V"


def test_a_benchmarks_row_is_what_its_fields_say_whatever_its_name():
    found = row("chita-0.5-s8s8", "fls", 0.95, "u8s8")
    assert (benched(found), row_label(found)) == (NetworkName("fls", 0.95, "u8s8"), "FLS 95 %, int8 U8S8")
    assert row_label(row("x", "fls", 0.9, runtime="sparse")) == "FLS 90 %, sparse runtime"
    assert row_label(row("x", "dense", 0.0)) == "dense"
    assert percent(benched(row("x", "dense", 0.0))) == ""


def test_a_file_that_does_not_say_how_it_was_made_is_called_by_its_name_in_every_runtime():
    plain, sparse = row("fls-0.95"), row("fls-0.95:sparse", runtime="sparse")
    assert benched(plain) == benched(sparse) == NetworkName("fls-0.95")
    assert (row_label(plain), row_label(sparse)) == ("fls-0.95", "fls-0.95, sparse runtime")
    assert row_label(row("odd:sparse")) == "odd:sparse"
