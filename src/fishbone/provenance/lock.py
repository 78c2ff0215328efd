"""Stages as ``dvc.yaml`` and ``dvc.lock`` hold them, and which of them are a study's."""

from pathlib import Path

import yaml


def locked(root: Path = Path()) -> dict[str, dict]:
    """``{name: stage}`` of ``dvc.lock``; empty where nothing was recorded yet."""
    lock = root / "dvc.lock"
    return yaml.safe_load(lock.read_text(encoding="utf-8")).get("stages", {}) if lock.is_file() else {}


def of_study(stages: dict[str, dict], study: str) -> dict[str, dict]:
    """Those named ``<study>-<rule>``: a study's name may hold hyphens, a rule's may not."""
    return {name: stage for name, stage in stages.items() if name.rpartition("-")[0] == study}
