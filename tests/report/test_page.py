import re
from html.parser import HTMLParser

import pytest
from report import small_study

from fishbone.report.page import RUN, render
from fishbone.report.papers import fls, hovefl
from fishbone.report.sections import build
from fishbone.report.study import read_study

PARAMS = {"gan": {"users": [[{"speed": 1.0e9}]]}, "note": "<b>bold</b>"}
VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Checks that tags close in order; collects ids, links and text."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.tags, self.words = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes[key] for key in ("href", "src") if key in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        files = small_study.everything(root / "results/quick")
        study = read_study([file.relative_to(root) for file in files], PARAMS)
        out = root / "results/quick/report"
        claims = [*fls.claims(study, 0.01), *hovefl.claims(study)]
        text = render("A <study>", study, claims, build(study, out), out)
    reader = Reader()
    reader.feed(text)
    return root, text, reader


def test_page_is_well_formed_with_unique_ids(page):
    _, _, reader = page
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))


def test_page_needs_nothing_but_itself(page):
    _, text, reader = page
    assert not any(tag in ("script", "link", "iframe") for tag, _ in reader.tags)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    outside = [link for link in reader.links if not link.startswith(("#", "data:image/png;base64,", "../", "tables/"))]
    assert outside == []


def test_every_link_leads_to_a_file_or_an_anchor(page):
    root, _, reader = page
    for link in reader.links:
        if link.startswith("#"):
            assert link[1:] in reader.ids
        elif not link.startswith("data:"):
            assert (root / "results/quick/report" / link).is_file(), link


def test_claims_come_first_and_sections_follow_the_pipeline(page):
    sections = [attributes["id"] for tag, attributes in page[2].tags if tag == "section"]
    assert sections == [
        "claims", "train", "prune", "federate", "gan", "export", "bench", "claims-in-full", "provenance",
    ]  # fmt: skip
    claims, rows = page[1].partition('id="train"')[0], page[2].ids
    assert claims.count("<tr>") == 1 + sum(
        "claim" in attributes.get("class", "").split() for _, attributes in page[2].tags
    )
    assert "fls-over-obs-95@digits" in rows
    assert '<a href="#fls-over-obs-95@digits">At 95 % sparsity FLS is more accurate than OBS</a>' in claims


def test_page_has_one_place_for_the_run_and_names_none(page):
    assert page[1].count(RUN) == 1


def test_page_fits_phones(page):
    _, text, reader = page
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in reader.tags
    assert all(
        re.search(r'<div class="scroll"[^>]*>\s*<table>', text[: match.end()]) for match in re.finditer("<table>", text)
    )


def test_a_row_that_becomes_a_card_on_phones_names_each_cell(page):
    assert all(attributes.get("data-label") for tag, attributes in page[2].tags if tag == "td")


def test_text_from_outside_is_escaped(page):
    _, text, reader = page
    assert "A &lt;study&gt;" in text
    assert "<b>bold</b>" not in text
    assert any("<b>bold</b>" in word for word in reader.words)


def test_figures_are_inlined_with_names_and_samples_embedded(page):
    _, _, reader = page
    figures = [attributes for tag, attributes in reader.tags if tag == "svg"]
    assert len(figures) == 5
    assert all(figure["role"] == "img" and figure["aria-label"] and "width" not in figure for figure in figures)
    assert sum(tag == "img" for tag, _ in reader.tags) == 2


def test_page_says_what_held_and_what_is_open(page):
    words = " ".join(page[2].words)
    assert "At 95 % sparsity FLS is more accurate than OBS." in words
    assert "84 % against 60 %" in words
    assert "inconclusive" in words
    assert "digits (1,294 training images) instead of CIFAR-10" in words
    assert "results/quick/prune/digits/fls/seed0/metrics.json" in words


def test_page_holds_no_path_of_this_machine(page):
    root, text, _ = page
    assert str(root) not in text
