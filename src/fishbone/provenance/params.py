"""A study's parameters: ``params.yaml`` (the quick study), overlaid by the study's own file (`overlay_path`).

An overlay replaces the keys that it names, at any depth. Before any job starts, every block is checked against the
stage's ``Plan`` model, and then the blocks against each other (`crosscheck`). ``workflow/schemas/params.schema.json``
is generated from the same models, for editors.
"""

import importlib
import json
from pathlib import Path
from typing import Any

import click

from fishbone.errors import InputError
from fishbone.parameters import Block, Key, default_block
from fishbone.provenance.crosscheck import Place, crosscheck
from fishbone.provenance.lock import QUICK, studies
from fishbone.provenance.mapping import read_mapping
from fishbone.provenance.study import BASE, check_study_name, require_project, study_option

STAGES = ("prepare", "train", "prune", "federate", "gan", "export", "bench", "report")
SCHEMA = Path("workflow/schemas/params.schema.json")


def plan(stage: str) -> type[Block]:
    """The stage's block: its job's ``Params`` plus what the workflow enumerates."""
    return _module(stage).Plan


def job_block(stage: str) -> type[Block]:
    """What one job of the stage is given."""
    return _module(stage).Params


def job_params(stage: str, block: dict) -> str:
    """JSON of what one job is given: the block without the keys that only enumerate jobs.

    So a further seed or data set adds jobs and changes none.
    """
    return json.dumps({key: block[key] for key in job_block(stage).model_fields}, sort_keys=True)


def _module(stage: str):
    package = importlib.import_module(f"fishbone.stages.{stage}")
    return importlib.import_module(f"{package.__name__}.params") if hasattr(package, "__path__") else package


def overlay_path(study: str, root: Path = Path()) -> Path:
    """The file that makes a study of ``params.yaml``; the quick study has none."""
    return root / "studies" / study / BASE


def load_study(study: str, root: Path = Path()) -> dict:
    """The study's merged and checked parameters: ``stages`` and one block a stage.

    Raises:
        InputError: no such study, broken YAML, a key that is unknown, missing, twice there, mistyped or out of range,
            or blocks that do not fit each other.
    """
    base, overlay = read_mapping(root / BASE), _overlay(study, root)
    merged = merge(base, overlay)

    def place(key: tuple) -> str:
        held = _depth(overlay, key)
        theirs = held == len(key) or held > _depth(base, key)
        return str(overlay_path(study)) if held and theirs else BASE

    _check_stages(merged, place)
    for stage in STAGES:

        def file(key: Key, stage: str = stage) -> str:
            return place((stage, *key))

        plan(stage).parse(merged.get(stage), file=file, field=stage)
    devices = read_mapping(root / "devices.yaml") if "bench" in merged["stages"] else {}
    crosscheck(merged, place, devices)
    return merged


def schema() -> dict:
    """JSON schema (draft 2020-12) of a complete parameter file, generated from the stages' models."""
    blocks = {stage: plan(stage).model_json_schema(ref_template=f"#/$defs/{stage}.{{model}}") for stage in STAGES}
    definitions = {
        f"{stage}.{name}": value for stage, block in blocks.items() for name, value in block.pop("$defs", {}).items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Parameters of a Fishbone study",
        "type": "object",
        "additionalProperties": False,
        "required": ["stages", *STAGES],
        "properties": {
            "stages": {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"enum": list(STAGES)}},
            **blocks,
        },
        "$defs": definitions,
    }


def schema_text() -> str:
    """The schema as it lies in ``workflow/schemas/``."""
    return json.dumps(schema(), indent=2) + "\n"


def _overlay(study: str, root: Path) -> dict:
    check_study_name(study)
    for file in sorted((root / "studies").glob("*.y*ml")):
        remedy = f"Move it to studies/{file.stem}/{BASE}."
        raise InputError("is no study's file: a study has a folder", file=file.relative_to(root), remedy=remedy)
    if overlay_path(QUICK, root).is_file():
        remedy = f"Change {BASE}, or give the folder another name."
        raise InputError("the quick study has no overlay", file=overlay_path(QUICK), remedy=remedy)
    if study == QUICK:
        return {}
    if not overlay_path(study, root).is_file():
        remedy = f"Take one of {', '.join(studies(root))}."
        raise InputError("no such study", field="STUDY", value=study, remedy=remedy)
    return read_mapping(overlay_path(study, root))


def _check_stages(merged: dict, place: Place) -> None:
    for key in merged:
        if key not in ("stages", *STAGES):
            remedy = f"Blocks are {', '.join(STAGES)}; `stages` lists those to run."
            raise InputError("unknown key", file=place((key,)), field=key, remedy=remedy)
    chosen: Any = merged.get("stages")
    known = isinstance(chosen, list) and chosen and set(map(str, chosen)) <= set(STAGES)
    if not known or len(set(chosen)) < len(chosen):
        problem = "a stage is there twice" if known else "not a list of stages"
        remedy = f"Give a list out of {', '.join(STAGES)}, each once."
        raise InputError(problem, file=place(("stages",)), field="stages", value=chosen, remedy=remedy)


def merge(base, overlay):
    """``base`` with the keys that ``overlay`` names replaced, at any depth."""
    if isinstance(base, dict) and isinstance(overlay, dict):
        return {key: merge(base.get(key), overlay[key]) if key in overlay else base[key] for key in {**base, **overlay}}
    return overlay


def _depth(value, key: tuple) -> int:
    """How many parts of ``key`` a file's mapping holds; a list or plain value holds all that is below it."""
    for depth, part in enumerate(key):
        if not isinstance(value, dict):
            return len(key)
        if part not in value:
            return depth
        value = value[part]
    return len(key)


def _print_schema(context: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(schema_text(), nl=False)
        context.exit()


@click.command(epilog='Example: fishbone train --params "$(fishbone params train)" …')
@click.argument("stage", required=False, type=click.Choice(STAGES))
@study_option(None, "Study in studies/ (or quick).  [default: quick; outside a checkout what the package brings along]")
@click.option(
    "--schema", is_flag=True, is_eager=True, expose_value=False, callback=_print_schema,
    help="Print the JSON schema instead.",
)  # fmt: skip
def command(stage: str | None, study: str | None) -> None:
    """Print a study's checked parameters as JSON: of one STAGE as its jobs get them, or all."""
    if study is None and stage and not Path(BASE).is_file():
        click.echo(json.dumps(default_block(job_block(stage), stage).model_dump(), sort_keys=True))
        return
    require_project()
    merged = load_study(study or QUICK)
    click.echo(job_params(stage, merged[stage]) if stage else json.dumps(merged, indent=2))
