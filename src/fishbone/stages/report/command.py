"""``fishbone report``: the command."""

import json
from pathlib import Path
from typing import Any

import click

from fishbone.errors import InputError
from fishbone.parameters import params_option
from fishbone.stages.report.params import Params


def _study_params(_context: click.Context, _option: click.Parameter, text: str | None) -> dict[str, Any]:
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
def command(files: tuple[Path, ...], params: Params, study_params: dict[str, Any], out: Path) -> None:
    """Turn the results of a study into claims, tables, figures and a page.

    FILES are metrics.json (train, prune, federate, gan) and the JSON files of prepare, export and bench, at the paths
    where stages put them. Histories, sidecars and sample images are read from beside them, and nothing else.
    """
    from fishbone.stages.report import job

    job.run(files, params, study_params, out)
