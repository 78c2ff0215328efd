"""What a result file has to hold before a report is made of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fishbone.errors import InputError
from fishbone.report.intervals import PLAIN, bounds_of

FLAT = ("train", "prune", "federate", "gan")  # stages whose files map names to numbers
REQUIRED = {
    "prepare": ("source", "counts", "shape", "sha256"),
    "train": ("test_accuracy",),
    "prune": ("dense_test_accuracy",),
    "federate": ("test_accuracy", "test_loss", "rounds"),
    "gan": ("fcd", "fcd_noise"),
    "export": ("facts", "parity"),
    "bench": ("status", "baseline", "noise_floor", "procedure", "models"),
}
OF_A_MODEL = ("name", "method", "sparsity", "int8", "runtime", "facts", "notes", "predicted_ns")  # of a benchmark


def check(path: Path, stage: str, content: object) -> None:
    """Let a result pass that has what a report reads of it.

    Args:
        path: where the file is, for the message.
        stage: the stage that wrote it.
        content: what the file says, as parsed JSON.

    Raises:
        InputError: a key is missing, as in what an older version wrote, or a number is none that its quantity can be.
    """
    _check_keys(path, stage, content)
    if stage in FLAT and isinstance(content, dict):
        _check_numbers(path, content)


def _check_keys(path: Path, stage: str, content: object) -> None:
    wanted = [(content, key, key) for key in REQUIRED[stage]]
    if stage == "bench" and isinstance(content, dict):
        models = enumerate(content.get("models", ()))
        wanted += [(model, key, f"models.{i}.{key}") for i, model in models for key in OF_A_MODEL]
    for holder, key, field in wanted:
        if not isinstance(holder, dict) or key not in holder:
            raise InputError("key is missing", file=path, field=field, remedy=f"Run the stage {stage} again.")


def _check_numbers(path: Path, content: Mapping[str, Any]) -> None:
    for key, value in content.items():
        low, high = bounds_of(key)
        if value is None or (low, high) == PLAIN:
            continue
        if not (isinstance(value, (int, float)) and low <= value <= high):
            remedy = "Make the file again: no run writes this."
            raise InputError(f"lies outside {low:g} to {high:g}", file=path, field=key, value=value, remedy=remedy)
