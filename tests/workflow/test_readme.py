"""The README's picture and commands are true."""

import re

from workspace import PROJECT

from fishbone.provenance.dag import jobs

README = (PROJECT / "README.md").read_text()


def test_picture_shows_the_edges_between_rules_and_no_others():
    drawn = set()
    for line in re.search(r"flowchart LR\n(.*?)```", README, re.DOTALL)[1].strip().splitlines():
        sources, target = line.split("-->")
        drawn |= {(source.strip(), target.strip()) for source in sources.split("&")}
    members = jobs("quick", PROJECT)
    maker = {output: job.rule for job in members for output in job.outputs}
    edges = {(maker[path], job.rule) for job in members for path in job.inputs if path in maker}
    # Nearly every stage reads the data set and the report reads facts of all; the picture leaves those arrows out.
    implied = {("prepare", rule) for rule in ("prune", "export", "bench", "report")} | {("export", "report")}
    assert drawn <= edges
    assert edges - drawn <= implied


def test_make_targets_in_the_readme_exist():
    makefile = (PROJECT / "Makefile").read_text()
    for target in ("setup", "reproduce", "pull", "publish", "test", "lint", "bench", "clean"):
        assert f"`{target}`" in README
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_files_that_the_readme_links_exist():
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (PROJECT / link).exists(), link
