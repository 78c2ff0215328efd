import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fishbone.provenance import claims
from fishbone.report.intervals import interval
from fishbone.report.verdict import Evidence, Statement, judge, line, not_tested

STATEMENT = Statement("id", "paper", "A beats B.", "+1", "A minus B")


def claim(values, side="above", bound=0.0):
    evidence = Evidence("digits", dict(enumerate(values)), "setting", ["b", "a"])
    return judge(STATEMENT, evidence, side, bound)


@pytest.mark.parametrize(
    ("values", "side", "bound", "verdict"),
    [
        ([1.0, 1.1, 0.9], "above", 0, "holds"),
        ([-1.0, -1.1, -0.9], "above", 0, "fails"),
        ([1.0, 1.1, 0.9], "below", 0, "fails"),
        ([1.0, 1.1, 0.9], "below", 10, "holds"),
        ([-0.5, -0.6, -0.4], "above", -1, "holds"),
        ([1.0, -1.0, 3.0], "above", 0, "not tested"),
        ([0.0, 0.0, 0.0], "above", 0, "not tested"),
        ([5.0], "above", 0, "not tested"),
        ([], "above", 0, "not tested"),
    ],
)
def test_verdict_follows_from_where_the_whole_interval_lies(values, side, bound, verdict):
    assert claim(values, side, bound).verdict == verdict


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=5), st.floats(-3, 3))
def test_the_opposite_claim_gets_the_opposite_verdict(values, bound):
    opposite = {"holds": "fails", "fails": "holds", "not tested": "not tested"}
    assert claim(values, "below", bound).verdict == opposite[claim(values, "above", bound).verdict]


def test_an_undecided_claim_shows_its_interval_and_says_so():
    found = claim([1.0, -1.0, 3.0])
    low_high = interval([1.0, -1.0, 3.0])
    assert found.measured == 1.0
    assert found.ci95 == (low_high.low, low_high.high)
    assert found.why == "inconclusive: the interval includes 0 (3 seeds, Student's t with 2 degrees of freedom)."


def test_ratios_are_averaged_as_logarithms_and_shown_in_percent():
    found = judge(STATEMENT, Evidence("digits", {0: 0.5, 1: 2.0, 2: 1.0}, "", [], ratios=True), "above")
    half = interval([math.log(0.5), math.log(2.0), 0.0]).high
    assert found.measured == pytest.approx(0, abs=1e-9)
    assert found.ci95 == pytest.approx((100 * (math.exp(-half) - 1), 100 * (math.exp(half) - 1)))
    assert judge(STATEMENT, Evidence("digits", {0: 0.5}, "", [], ratios=True), "above").measured == pytest.approx(-50)


def test_an_interval_beyond_what_a_difference_can_be_is_cut_and_says_so():
    values = {0: -99.0, 1: -50.0}
    found = judge(STATEMENT, Evidence("digits", values, "", [], bounds=(-100.0, 100.0)), "above")
    assert found.ci95 == (-100.0, 100.0)
    assert found.why.endswith("It is cut at what the quantity can be, -100 to 100.")
    whole = judge(STATEMENT, Evidence("digits", values, "", []), "above")
    assert whole.verdict == found.verdict
    assert whole.ci95[0] < -100


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=5))
def test_a_ratio_and_its_inverse_get_opposite_verdicts(ratios):
    opposite = {"holds": "fails", "fails": "holds", "not tested": "not tested"}
    forth, back = (
        judge(STATEMENT, Evidence("digits", dict(enumerate(values)), "", [], ratios=True), "above")
        for values in (ratios, [1 / ratio for ratio in ratios])
    )
    assert forth.ci95[0] >= -100
    assert {forth.verdict, back.verdict} in ({"holds", "fails"}, {"not tested"})
    assert back.verdict == opposite[forth.verdict]


def test_one_seed_is_measured_but_not_tested():
    found = claim([5.0])
    assert (found.measured, found.ci95, found.why) == (5.0, None, "One seed gives no interval.")


def test_a_claim_names_data_seeds_and_files():
    found = claim([1.0, 2.0])
    assert (found.id, found.seeds, found.artefacts) == ("id@digits", [0, 1], ["a", "b"])


def test_a_claim_without_data_has_no_number():
    found = not_tested(STATEMENT, "No such stage.")
    assert (found.id, found.measured, found.ci95, found.seeds, found.artefacts) == ("id", None, None, [], [])


def test_a_claim_is_one_line_without_parentheses_and_with_its_unit():
    statement = Statement(
        "id", "FLS (arXiv 1)", "A (new) beats B: by far.", "84 % (of 100): +24", "A minus B, percentage points"
    )
    found = judge(statement, Evidence("digits", {0: 1.0, 1: 1.0}, "", []), "below")
    assert line(found) == ("FLS", "A beats B", "digits", "84 %: +24", "+1.00 points [1.00, 1.00]", "fails")
    lost = judge(statement, Evidence("digits", {0: -1.0}, "", []), "above")
    assert line(lost).measured == "−1.00 points"
    assert line(not_tested(statement, "No."))[2:] == ("–", "84 %: +24", "–", "not tested")
    unsure = judge(STATEMENT, Evidence("digits", {0: -1.0, 1: 1.0}, "", []), "above")
    assert line(unsure).verdict == "inconclusive"


def test_a_studys_name_with_brackets_is_shown_as_it_is():
    console = Console(width=120, file=io.StringIO())
    console.print(claims._table("a[/b]:bug:", []))
    assert "Claims in the study a[/b]:bug:" in console.file.getvalue()
