"""Saliency, compensation, schedules and masks. For any network: `Surgeon`."""

import importlib

__all__ = ["Surgeon"]


def __getattr__(name: str):
    if name == "Surgeon":
        # By name: no stage uses it, but an import here would make it a source of all that use this package.
        return importlib.import_module("fishbone.pruning.surgeon").Surgeon
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
