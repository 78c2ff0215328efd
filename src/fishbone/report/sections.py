"""A section of the page for each stage that has results; writes ``tables/<stage>.csv`` and ``figures/<stage>.svg``."""

from pathlib import Path

from fishbone.report.bench_table import bench_notes
from fishbone.report.figures import FIGURES
from fishbone.report.page import Section, inline_svg, pictures
from fishbone.report.study import ResultFile, Study, artefact
from fishbone.report.summaries import TABLES
from fishbone.report.texts import TEXTS

DRAWN_FROM_HISTORY = ("train", "federate", "gan")


def build(study: Study, out: Path) -> list[Section]:
    """Write tables and figures, and give the page's sections, in the pipeline's order.

    Args:
        study: all results of the study.
        out: the folder that ``tables/`` and ``figures/`` go to.
    """
    return [_section(study, stage, out) for stage in study.stages if stage in TABLES]


def _section(study: Study, stage: str, out: Path) -> Section:
    text, table = TEXTS[stage], TABLES[stage](study)
    csv, svg = out / "tables" / f"{stage}.csv", out / "figures" / f"{stage}.svg"
    table.write_csv(csv)
    if stage in FIGURES:
        FIGURES[stage](study, svg)
    results = study.of(stage)
    return Section(
        stage=stage,
        text=text,
        table=table,
        csv=artefact(csv),
        table_files=[result.artefact for result in results],
        figure=inline_svg(svg, text.caption) if stage in FIGURES else None,
        figure_files=[_drawn_from(result) for result in results],
        pictures=pictures(study) if stage == "gan" else (),
        notes=[note for result in results for note in bench_notes(result)] if stage == "bench" else (),
    )


def _drawn_from(result: ResultFile) -> str:
    return artefact(result.beside("history.csv")) if result.stage in DRAWN_FROM_HISTORY else result.artefact
