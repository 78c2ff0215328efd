"""A study's parameters: ``params.yaml`` (the quick study), overlaid by ``studies/<study>.yaml``.

An overlay replaces the keys that it names, at any depth. Every block is checked against the stage's ``Plan``
model before any job starts. ``workflow/schemas/params.schema.json`` is generated from the same models, for editors.
"""

import importlib
import json
from pathlib import Path

import click
import yaml

from fishbone.errors import InputError
from fishbone.parameters import Block
from fishbone.provenance.lock import parsed

STAGES = ("prepare", "train", "prune", "federate", "gan", "export", "bench", "report")
QUICK = "quick"
SCHEMA = Path("workflow/schemas/params.schema.json")


def plan(stage: str) -> type[Block]:
    """The stage's block: its job's ``Params`` plus what the workflow enumerates."""
    return importlib.import_module(f"fishbone.stages.{stage}").Plan


def job_params(stage: str, block: dict) -> str:
    """JSON of what one job is given: the block without the keys that only enumerate jobs.

    So a further seed or data set adds jobs and changes none.
    """
    module = importlib.import_module(f"fishbone.stages.{stage}")
    return json.dumps({key: block[key] for key in module.Params.model_fields}, sort_keys=True)


def load_study(study: str, root: Path = Path()) -> dict:
    """The study's merged and checked parameters: ``stages`` and one block a stage.

    Raises:
        InputError: no such study, broken YAML, or a key that is unknown, missing, mistyped or out of range.
    """
    base = _read(root / "params.yaml")
    overlay_file = root / "studies" / f"{study}.yaml"
    if study != QUICK and not overlay_file.is_file():
        known = [QUICK, *sorted(path.stem for path in (root / "studies").glob("*.yaml"))]
        raise InputError("no such study", field="STUDY", value=study, remedy=f"Take one of {', '.join(known)}.")
    overlay = {} if study == QUICK else _read(overlay_file)
    merged = merge(base, overlay)

    def file_of(key: tuple) -> str:
        return str(overlay_file.relative_to(root) if _holds(overlay, key) else "params.yaml")

    for key in merged:
        if key not in ("stages", *STAGES):
            remedy = f"Blocks are {', '.join(STAGES)}; `stages` lists those to run."
            raise InputError("unknown key", file=file_of((key,)), field=key, remedy=remedy)
    chosen = merged.get("stages")
    if not isinstance(chosen, list) or not chosen or not set(map(str, chosen)) <= set(STAGES):
        remedy = f"Give a list out of {', '.join(STAGES)}."
        raise InputError("not a list of stages", file=file_of(("stages",)), field="stages", value=chosen, remedy=remedy)
    for stage in STAGES:
        plan(stage).parse(merged.get(stage), file=lambda key, stage=stage: file_of((stage, *key)), field=stage)
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
    return json.dumps(schema(), indent=2) + "\n"


def _read(path: Path) -> dict:
    try:
        value = parsed(path)
    except FileNotFoundError:
        raise InputError("file is missing", file=path, remedy="Run this in the project's root folder.") from None
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML: {error}", file=path, remedy="Mend the line that it names.") from None
    if not isinstance(value, dict):
        raise InputError("holds no mapping", file=path, value=value, remedy="Give one block per stage.")
    return value


def merge(base, overlay):
    """``base`` with the keys that ``overlay`` names replaced, at any depth."""
    if isinstance(base, dict) and isinstance(overlay, dict):
        return {key: merge(base.get(key), overlay[key]) if key in overlay else base[key] for key in {**base, **overlay}}
    return overlay


def _holds(overlay, key: tuple) -> bool:
    for part in key:
        if not isinstance(overlay, dict) or part not in overlay:
            return False
        overlay = overlay[part]
    return True


@click.command(epilog='Example: fishbone train --params "$(fishbone params train)" …')
@click.argument("stage", required=False, type=click.Choice(STAGES))
@click.option("--study", default=QUICK, show_default=True, help="Study in studies/ (or quick).")
@click.option("--schema", "show_schema", is_flag=True, help="Print the JSON schema instead.")
def command(stage: str | None, study: str, show_schema: bool) -> None:
    """Print a study's checked parameters as JSON: of one STAGE as its jobs get them, or all."""
    if show_schema:
        click.echo(schema_text(), nl=False)
        return
    merged = load_study(study)
    click.echo(job_params(stage, merged[stage]) if stage else json.dumps(merged, indent=2))
