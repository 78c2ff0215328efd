import pytest

from fishbone import errors
from fishbone.errors import FishboneError, LinkError
from fishbone.wire.errors import BY_STATUS, LONGEST_LINE, line


def test_every_status_is_the_word_of_one_error():
    assert {status: error.__name__ for status, error in BY_STATUS.items()} == {
        "unreachable": "Unreachable",
        "late": "Late",
        "replayed": "Replayed",
        "too_large": "TooLarge",
        "malformed": "Malformed",
        "forbidden": "Forbidden",
        "failed": "Failed",
        "rejected": "Rejected",
        "diverged": "DivergedError",
    }


def test_every_link_error_is_in_the_table():
    defined = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, LinkError)}
    assert defined == {LinkError, *BY_STATUS.values()}
    assert issubclass(LinkError, FishboneError)
    assert LinkError.status == "failed"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("as it is", "as it is"),
        ("two\nlines\tand  spaces ", "two lines and spaces"),
        ("\x1b[31mred\x00\u202e", "[31mred"),
        ("häß–", "häß–"),
        (ValueError("a\nb"), "a b"),
        ("x" * LONGEST_LINE, "x" * LONGEST_LINE),
        ("x" * LONGEST_LINE + "y", "x" * LONGEST_LINE),
    ],
)
def test_text_from_outside_is_one_printable_line(text, shown):
    assert line(text) == shown
    assert LONGEST_LINE == 300
