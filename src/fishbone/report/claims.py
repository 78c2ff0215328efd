"""``fishbone claims``: what the papers' claims came to in a study, from its ``report/claims.json``."""

import json
from pathlib import Path

import click


@click.command(epilog="Example: fishbone claims --study quick --json")
@click.option("--study", default="quick", show_default=True, help="Study whose report has been made.")
@click.option("--json", "as_json", is_flag=True, help="Print the claims as JSON instead of a table.")
def command(study: str, as_json: bool) -> None:
    """Print each claim's verdict, the published and the measured number, and why."""
    claims = _read(study)
    if as_json:
        click.echo(json.dumps(claims, indent=2, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console(highlight=False)
    # Not on a terminal, rich assumes 80 columns.
    Console(width=None if console.is_terminal else 140, highlight=False).print(_table(study, claims))


def _read(study: str) -> list[dict]:
    from fishbone.errors import InputError
    from fishbone.files import read_json

    path = Path("results") / study / "report" / "claims.json"
    if not path.is_file():
        remedy = f"Run `fishbone reproduce --study {study}` in the project's root folder."
        raise InputError("file is missing", file=path, remedy=remedy)
    return read_json(path)


def _table(study: str, claims: list[dict]):
    from rich.markup import escape
    from rich.table import Table

    colours = {"holds": "green", "fails": "red", "not tested": "dim"}
    table = Table(title=f"Claims in the study {study}", title_justify="left", header_style="bold", show_lines=True)
    for name, ratio in (("claim", 3), ("verdict", 1), ("published", 3), ("measured [95 %]", 2), ("why", 3)):
        table.add_column(name, ratio=ratio, overflow="fold")
    for claim in claims:
        verdict = claim["verdict"]
        about = f"{escape(claim['statement'])}\n[dim]{claim['id']}[/]"
        texts = (claim["published"], _measured(claim), claim["why"])
        table.add_row(about, f"[{colours[verdict]}]{verdict}[/]", *map(escape, texts))
    return table


def _measured(claim: dict) -> str:
    if claim["measured"] is None:
        return "–"
    low_high = " [{:.2f}, {:.2f}]".format(*claim["ci95"]) if claim["ci95"] else ""
    return f"{claim['measured']:+.2f}{low_high}\n{claim['quantity']}"
