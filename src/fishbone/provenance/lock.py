"""What a study has recorded: its ``dvc.lock``, read as plain data.

The quick study's ``dvc.yaml``, ``dvc.lock`` and ``resolved.yaml`` lie in the root folder, another study's in
``studies/NAME/``. Stages are named after their rules; paths are relative to the project root.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fishbone.errors import InputError

QUICK = "quick"
# libyaml's, where it was built in: ten times faster, and DVC's files have thousands of lines.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Yaml12(LOADER):
    """Reads what DVC writes, YAML 1.2: there ``1e-05`` is a number."""


_Yaml12.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789"))


@dataclass(frozen=True)
class Recorded:
    """One stage of a ``dvc.lock``.

    Attributes:
        rule: digest of the rule's shell command.
        sources: digest of the stage's sources.
        params: resolved parameters, of all its jobs.
        deps, outs: path → MD5 of what the stage read, and of what it wrote.
    """

    rule: str | None
    sources: str | None
    params: dict
    deps: dict[str, str]
    outs: dict[str, str]


def folder(study: str, root: Path = Path()) -> Path:
    """Where the study's own files lie."""
    return root if study == QUICK else root / "studies" / study


def studies(root: Path = Path()) -> list[str]:
    """Names of all studies, quick first."""
    return [QUICK, *sorted(path.parent.name for path in (root / "studies").glob("*/params.yaml"))]


def parsed(file: Path, loader: type = LOADER) -> dict:
    """A YAML file (1.1, as PyYAML reads it: ``1e-05`` is a string)."""
    with open(file, encoding="utf-8") as text:
        return yaml.load(text, Loader=loader)


def recorded(study: str, root: Path = Path()) -> dict[str, Recorded]:
    """``{rule: what is recorded of its jobs}``; empty where nothing was recorded yet."""
    file = folder(study, root) / "dvc.lock"
    try:
        stages = (parsed(file, _Yaml12) or {}).get("stages", {}) if file.is_file() else {}
        return {name: _recorded(name, stage) for name, stage in stages.items()}
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        remedy = "Take the file as git has it, or one side of a merge: git checkout [--ours | --theirs] FILE."
        raise InputError(f"cannot be read: {' '.join(str(error).split())}", file=file, remedy=remedy) from None


def _recorded(name: str, stage: dict) -> Recorded:
    block: dict[str, Any] = next((values[name] for values in stage.get("params", {}).values() if name in values), {})
    return Recorded(
        rule=block.get("rule"),
        sources=block.get("sources"),
        params=block.get("params", {}),
        deps={dep["path"]: dep["md5"] for dep in stage.get("deps", [])},
        outs={out["path"]: out["md5"] for out in stage.get("outs", [])},
    )


def outputs(study: str, root: Path = Path()) -> dict[str, str]:
    """``{path: MD5}`` of all that the study has recorded."""
    return {path: md5 for stage in recorded(study, root).values() for path, md5 in stage.outs.items()}


def md5(path: Path) -> str:
    """As DVC computes it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
