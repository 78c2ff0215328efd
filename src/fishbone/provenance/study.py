"""The study that a verb works on: one option, and one message where there are no studies."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import yaml

from fishbone.errors import InputError
from fishbone.provenance.lock import QUICK

BASE = "params.yaml"
PROJECT = (BASE, "Snakefile")
FREE = "prepare, train, prune, federate, gan, export, bench and device"
STUDY = r"[A-Za-z][A-Za-z0-9_.-]{0,99}"


def require_project(root: Path = Path()) -> None:
    """Raises `InputError` unless ``root`` is the root folder of a checkout: only there are studies."""
    for name in PROJECT:
        if not (root / name).is_file():
            remedy = f"Run this in the root folder of a checkout of Fishbone. Without one there are {FREE}."
            raise InputError(f"there are no studies here: {name} is missing", file=root.resolve(), remedy=remedy)


def check_study_name(name: str) -> None:
    """Raises `InputError` unless the name is safe in paths and shells, and text in YAML, where ``2024`` is a number."""
    remedy = "Begin with a letter; then letters, digits, `_`, `.` and `-`, and no word that YAML reads as a value."
    if name == "files":
        raise InputError(
            "cannot name a study", field="STUDY", value=name, remedy="recorded/files/ is DVC's. Take another."
        )
    if not isinstance(name, str) or not re.fullmatch(STUDY, name) or ".." in name or _reads_as_a_value(name):
        raise InputError("cannot name a study", field="STUDY", value=name, remedy=remedy)


def study_option(
    default: str | None = QUICK, help: str = "Study in studies/ (or quick)."
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The ``--study`` option of a verb; before all else it makes sure that here are studies and that this can be one.

    Args:
        default: None lets the verb run without a study.
        help: the option's help text.
    """
    return click.option(
        "--study", default=default, show_default=default is not None, help=help, is_eager=True, callback=_checked
    )


def _checked(_context: click.Context, _option: click.Parameter, study: str | None) -> str | None:
    if study is not None:
        require_project()
        check_study_name(study)
    return study


def _reads_as_a_value(name: str) -> bool:
    """Whether YAML, or Snakemake's ``--config``, makes anything but text of the name."""
    try:
        float(name)
    except ValueError:
        return not isinstance(yaml.safe_load(name), str)
    return True
