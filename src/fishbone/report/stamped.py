"""``report.html``: the page with the run that wrote it: commit, versions, machine, date.

These differ from run to run, so they stay out of ``page.html``, whose hash is recorded.
"""

from collections.abc import Mapping
from pathlib import Path

from fishbone.errors import InputError
from fishbone.files import write_text
from fishbone.report.page import RUN, templates


def write(page: Path, facts: Mapping[str, str]) -> Path:
    """Write ``report.html`` beside a recorded ``page``.

    Args:
        page: the page as the stage `report` writes it.
        facts: name → value, in the order in which they are shown; a value that is a web address becomes a link.

    Returns:
        The path of what was written.

    Raises:
        InputError: there is no page, or it has no place for the facts.
    """
    remedy = "Run `fishbone reproduce` for its study."
    if not page.is_file():
        raise InputError("file is missing", file=page, remedy=remedy)
    before, mark, after = page.read_text(encoding="utf-8").partition(RUN)
    if not mark:
        raise InputError("no place for the facts of a run", file=page, remedy=f"Remove the file. {remedy}")
    section = templates().get_template("unrecorded/run.html").render(facts=facts)
    target = page.with_name("report.html")
    write_text(target, f"{before}{section}{after}")
    return target
