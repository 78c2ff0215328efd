import pytest

from fishbone.errors import InputError
from fishbone.report import stamped
from fishbone.report.page import RUN

FACTS = {"commit": "abc (changed)", "machine": "<b>EPYC</b> & co", "MLflow run": "https://example.org/runs/1?a=1&b=2"}


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "results" / "quick" / "report" / "page.html"
    path.parent.mkdir(parents=True)
    path.write_text(f"<p>before</p>\n{RUN}\n<p>after — §</p>\n", encoding="utf-8")
    return path


def test_the_run_is_named_at_its_place_and_the_recorded_page_stays_as_it_is(page):
    recorded = page.read_bytes()
    text = stamped.write(page, FACTS).read_text(encoding="utf-8")
    assert page.read_bytes() == recorded
    assert text.startswith("<p>before</p>")
    assert text.endswith("<p>after — §</p>\n")
    assert RUN not in text
    places = [text.index(name) for name in FACTS]
    assert places == sorted(places)


def test_facts_are_escaped_and_web_addresses_are_links(page):
    facts = FACTS | {"script": "javascript:alert(1)", "<i>": "x"}
    text = stamped.write(page, facts).read_text(encoding="utf-8")
    assert "&lt;b&gt;EPYC&lt;/b&gt; &amp; co" in text
    assert "&lt;i&gt;" in text
    assert text.count("<a href") == 1
    assert '<a href="https://example.org/runs/1?a=1&amp;b=2">' in text


def test_writing_twice_names_the_last_run_only(page):
    stamped.write(page, {"date": "yesterday"})
    text = stamped.write(page, {"date": "today"}).read_text(encoding="utf-8")
    assert "today" in text
    assert "yesterday" not in text


def test_without_a_page_or_a_place_in_it_nothing_is_written(page, tmp_path):
    with pytest.raises(InputError, match=r"none/page\.html: file is missing.*Run `fishbone reproduce`"):
        stamped.write(tmp_path / "none" / "page.html", FACTS)
    page.write_text("<p>another page</p>")
    with pytest.raises(InputError, match=r"page\.html: no place for the facts of a run"):
        stamped.write(page, FACTS)
    assert not page.with_name("report.html").exists()
