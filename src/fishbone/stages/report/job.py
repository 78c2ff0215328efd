"""The job of the stage `report`: a study's results → claims, tables, figures and a page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from fishbone.files import write_json, write_text
from fishbone.report.page import render
from fishbone.report.papers import fls, fsl_gan, hovefl
from fishbone.report.sections import build
from fishbone.report.study import read_study
from fishbone.stages.report.params import Params


def run(files: Sequence[Path], params: Params, study_params: Mapping[str, Any], out: Path) -> None:
    """Write the report.

    Args:
        files: results of all stages, where the stages put them.
        params: the stage's block of parameters.
        study_params: the whole study's parameters, for the page.
        out: the folder that claims.json, page.html, tables/ and figures/ go to.

    Raises:
        InputError: a file is no result of a stage.
    """
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
