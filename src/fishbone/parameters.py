"""Parameter blocks: one strict model per stage, one message per mistake.

Each stage module declares ``class Params(Block)`` beside its code, without defaults; a value that is
missing, misspelt, of the wrong type or out of range raises `InputError` before any work starts.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import click
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from fishbone.errors import InputError

Key = tuple[int | str, ...]
DEFAULTS = Path(__file__).with_name("defaults.yaml")


class Block(BaseModel):
    """A frozen block of parameters: no coercion, no unknown keys, no number that is not finite."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, value: dict[str, Any] | str, *, file: str | Callable[[Key], str], field: str = "") -> Self:
        """Validate a mapping or JSON text.

        Args:
            value: the mapping or JSON text to check.
            file: where it came from; a function of the offending key where that depends on the key.
            field: what the block is called there.

        Raises:
            InputError: names the file, the dotted key under ``field``, the value and what is allowed.
        """
        try:
            return cls.model_validate_json(value if isinstance(value, str) else json.dumps(value))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in (field, *first["loc"]) if part != "")
            place = file if isinstance(file, str) else file(first["loc"])
            shown = {} if first["type"] in ("missing", "json_invalid") else {"value": first["input"]}
            raise InputError(_allowed(first), file=place, field=key or None, **shown, remedy=_remedy(first)) from None


T = TypeVar("T", bound=Block)


def _allowed(problem: ErrorDetails) -> str:
    if problem["type"] == "extra_forbidden":
        return "unknown key"
    if problem["type"] == "missing":
        return "key is missing"
    return problem["msg"][0].lower() + problem["msg"][1:]


def _remedy(problem: ErrorDetails) -> str:
    match problem["type"], problem["input"]:
        case "extra_forbidden", _:
            return "Remove it or mend its spelling; `fishbone params --schema` lists the keys."
        case "missing", _:
            return "Add it; there are no defaults."
        case "finite_number", _:
            return "Give a finite number: not .inf, -.inf or .nan, and no more than 1.8e+308."
        case "float_type", str(text) if "e" in text.lower():
            return "YAML 1.1 reads this as text: write 0.001, or 1.0e-3 with dot and sign."
        case _:
            return "Change it; `fishbone params --schema` shows what is allowed."


def default_block(block: type[T], stage: str) -> T:
    """What a stage's job is given by default: its block of the quick study, which the package brings along.

    Args:
        block: the stage's ``Params``; keys that only the workflow needs are left out.
        stage: the stage's name in ``params.yaml``.
    """
    whole = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))[stage]
    return block.parse({key: whole[key] for key in block.model_fields}, file=str(DEFAULTS), field=stage)


def params_option(block: type[Block]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The ``--params`` option of a stage: its parameter block as JSON text; without it `default_block`."""

    def parse(context: click.Context, _option: click.Parameter, text: str | None) -> Block:
        # A verb is called as its stage.
        return default_block(block, str(context.info_name)) if text is None else block.parse(text, file="--params")

    return click.option(
        "--params",
        metavar="JSON",
        callback=parse,
        help="The stage's parameter block, whole; `fishbone params STAGE` prints one.  [default: that of quick]",
    )
