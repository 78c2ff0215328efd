"""Stages as ``dvc.yaml`` and ``dvc.lock`` hold them, and which of them are a study's."""

from pathlib import Path

import yaml

# libyaml's, where it was built in: ten times faster, and DVC's files have tens of thousands of lines.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def parsed(file: Path) -> dict:
    """A YAML file (1.1, as PyYAML reads it: ``1e-05`` is a string)."""
    with open(file, encoding="utf-8") as text:
        return yaml.load(text, Loader=LOADER)


def locked(root: Path = Path()) -> dict[str, dict]:
    """``{name: stage}`` of ``dvc.lock``; empty where nothing was recorded yet."""
    lock = root / "dvc.lock"
    return parsed(lock).get("stages", {}) if lock.is_file() else {}


def of_study(stages: dict[str, dict], study: str) -> dict[str, dict]:
    """Those named ``<study>-<rule>``: a study's name may hold hyphens, a rule's may not."""
    return {name: stage for name, stage in stages.items() if name.rpartition("-")[0] == study}
