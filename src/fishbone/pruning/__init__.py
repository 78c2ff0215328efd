"""Saliency, compensation, schedules and masks. For any network: `Surgeon`."""

import importlib
from typing import Any

__all__ = ["Pruned", "Solver", "Surgeon"]

_HOMES = {"Pruned": "surgeon", "Solver": "compensation", "Surgeon": "surgeon"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # By name: an import would make Surgeon a source of every stage that uses this package.
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
