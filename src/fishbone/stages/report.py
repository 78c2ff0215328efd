"""``fishbone report``: result files of a study → claims.json, tables, figures and one HTML page."""

from pathlib import Path

import click
from pydantic import Field

from fishbone.errors import InputError
from fishbone.parameters import Block, params_option


class Params(Block):
    title: str = Field(description="heading of the page", min_length=1)
    comparable_accuracy: float = Field(description="accuracies that differ by this fraction are comparable", ge=0, lt=1)
    comparable_fcd: float = Field(description="an FCD higher by this fraction counts as the same", ge=0)


class Plan(Params):
    """A study has one report."""


def _study_params(_context, _option, text: str | None) -> dict:
    import json

    try:
        value = json.loads(text) if text is not None else {}
    except ValueError as error:
        problem = f"not valid JSON: {error}"
        raise InputError(problem, field="--study-params", remedy="Give what `fishbone params` prints.") from None
    if not isinstance(value, dict):
        remedy = "Give what `fishbone params` prints."
        raise InputError("not a mapping", field="--study-params", value=value, remedy=remedy)
    return value


@click.command(
    epilog='Example: fishbone report results/quick/train/*/*/metrics.json --params "$(fishbone params report)" '
    "--out results/quick/report"
)
@click.argument("files", nargs=-1, metavar="FILES...", type=click.Path(path_type=Path))
@params_option(Params)
@click.option("--study-params", callback=_study_params, metavar="JSON", help="The study's parameters, for the page.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the report.")
def command(files: tuple[Path, ...], params: Params, study_params: dict, out: Path) -> None:
    """Turn the results of a study into claims, tables, figures and a page.

    FILES are metrics.json (train, prune, federate, gan) and the JSON files of prepare, export and bench, at the paths
    where stages put them. Histories, sidecars and sample images are read from beside them, and nothing else.
    """
    from dataclasses import asdict

    from fishbone.files import write_json, write_text
    from fishbone.report.page import render
    from fishbone.report.papers import fls, fsl_gan, hovefl
    from fishbone.report.sections import build
    from fishbone.report.study import read_study

    study = read_study(files, study_params)
    claims = [
        *fls.claims(study, params.comparable_accuracy),
        *hovefl.claims(study),
        *fsl_gan.claims(study, params.comparable_fcd),
    ]
    write_json(out / "claims.json", [asdict(claim) for claim in claims])
    write_text(out / "page.html", render(params.title, study, claims, build(study, out), out))
    for claim in claims:
        click.echo(f"{claim.verdict}: {claim.id}")
    click.echo(f"{out / 'page.html'}")
