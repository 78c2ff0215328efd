"""The HTML report: one file that needs no network, claims first, every figure and table with the files behind it."""

import base64
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fishbone.nn.sidecar import Sidecar
from fishbone.report.labels import method_label
from fishbone.report.papers.setting import network_name
from fishbone.report.study import Study, artefact
from fishbone.report.tables import Table
from fishbone.report.texts import Text
from fishbone.report.verdict import RULE, Claim, badge, line, measured

NO_BREAK = "\N{NO-BREAK SPACE}"
RUN = "<!-- run -->"  # where `fishbone.report.stamped` puts what differs from run to run
SIDECARS = {"train": "model.json", "federate": "model.json", "gan": "generator.json"}


@dataclass(frozen=True)
class Picture:
    """Generated images of one run, as a data URI."""

    title: str
    source: str
    uri: str


@dataclass(frozen=True)
class Section:
    """A stage: its text, figure (markup, or None), table, and the files that the two were made from."""

    stage: str
    text: Text
    table: Table
    csv: str
    table_files: Sequence[str]
    figure: Markup | None
    figure_files: Sequence[str]
    pictures: Sequence[Picture] = ()
    notes: Sequence[str] = ()


def render(title: str, study: Study, claims: Sequence[Claim], sections: Sequence[Section], folder: Path) -> str:
    """The page as HTML; measured claims come first.

    Args:
        title: what stands over the page.
        study: results and parameters, for the part on provenance.
        claims: the tested statements of all papers.
        sections: of the stages, in the order in which they are shown.
        folder: where the page will lie; links to artefacts start from there.
    """
    environment = templates()
    environment.filters |= {"badge": badge, "measured": measured, "line": line}
    environment.filters["link"] = lambda file: Path(os.path.relpath(file, folder)).as_posix()
    return environment.get_template("template.html").render(
        title=title,
        run=Markup(RUN),
        study=study,
        claims=sorted(claims, key=lambda claim: claim.measured is None),
        rule=RULE,
        sections=sections,
        data=study.of("prepare"),
        networks=networks(study),
        params=yaml.safe_dump(dict(study.params), sort_keys=False, allow_unicode=True) if study.params else "",
    )


def templates() -> Environment:
    """Jinja's environment for this package's templates; the stage `report` reads none of those in ``unrecorded``."""
    environment = Environment(
        loader=PackageLoader("fishbone.report", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["unbroken"] = unbroken
    return environment


def unbroken(cell: str) -> str:
    """A number with its unit and interval, between which alone a line may break.

    Args:
        cell: the text that `fishbone.report.tables.show` gives.
    """
    return cell.replace(" ", NO_BREAK).replace(f"{NO_BREAK}[", " [")


def inline_svg(path: Path, name: str) -> Markup:
    """An SVG file as an element of the page, without prolog and fixed size.

    Args:
        path: the SVG file to read.
        name: what screen readers say.
    """
    text = path.read_text(encoding="utf-8")
    end = "</svg>"
    head, rest = text[text.index("<svg") : text.rindex(end) + len(end)].split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return Markup(head) + Markup(' role="img" aria-label="{}">').format(name) + Markup(rest)


def pictures(study: Study) -> list[Picture]:
    """Generated images of the GAN's first seed, by data set and method."""
    first = [
        min(study.runs("gan", dataset, name).items())[1]
        for dataset in study.datasets("gan")
        for name in study.names("gan", dataset)
    ]
    return [
        Picture(f"{method_label(run.name)}, {run.dataset}, seed {run.seed}", artefact(file), _uri(file))
        for run in first
        for file in [run.beside("samples.png")]
    ]


def _uri(file: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(file.read_bytes()).decode()


def networks(study: Study) -> list[dict[str, str]]:
    """The networks that stages train, one row a stage and data set, as their sidecars describe them."""
    rows = []
    for stage, sidecar in SIDECARS.items():
        for dataset in study.datasets(stage):
            run = study.of(stage, dataset)[0]
            description = Sidecar.read(run.beside(sidecar))
            architecture = description.architecture
            rows.append(
                {
                    "stage": stage,
                    "dataset": dataset,
                    "name": network_name(architecture),
                    "arguments": ", ".join(f"{key} {value}" for key, value in architecture.items() if key != "name"),
                    "data": description.data.sha256,
                    "source": artefact(run.beside(sidecar)),
                }
            )
    return rows
