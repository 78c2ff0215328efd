"""``fishbone claims``: what the papers' claims came to in a study, from its ``report/claims.json``."""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fishbone.errors import InputError
from fishbone.files import read_json
from fishbone.provenance.study import study_option
from fishbone.report.verdict import Claim, line


@click.command(epilog="Example: fishbone claims --study quick --json")
@study_option(help="Study whose report has been made.")
@click.option("--json", "as_json", is_flag=True, help="Print the claims as JSON instead of a table.")
def command(study: str, as_json: bool) -> None:
    """Print a line a claim: what a paper says, its number, the measured one, and the verdict; --json says why, too."""
    claims = _read(study)
    if as_json:
        click.echo(json.dumps(claims, indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False)
    # Not on a terminal, rich assumes 80 columns.
    Console(width=None if console.is_terminal else 180, highlight=False).print(
        _table(study, [Claim(**claim) for claim in claims])
    )


def _read(study: str) -> list[dict]:
    path = Path("results") / study / "report" / "claims.json"
    if not path.is_file():
        remedy = f"Run `fishbone reproduce --study {study}` in the project's root folder."
        raise InputError("file is missing", file=path, remedy=remedy)
    return read_json(path)


def _table(study: str, claims: list[Claim]) -> Table:
    colours = {"holds": "green", "fails": "red"}
    title = Text(f"Claims in the study {study}", style="table.title")
    table = Table(title=title, title_justify="left", header_style="bold")
    for name in ("paper", "claim", "data", "published", "measured [95 %]", "verdict"):
        table.add_column(escape(name), overflow="fold")
    for claim in sorted(claims, key=lambda claim: claim.measured is None):
        *texts, verdict = map(escape, line(claim))
        table.add_row(*texts, f"[{colours.get(verdict, 'dim')}]{verdict}[/]")
    return table
