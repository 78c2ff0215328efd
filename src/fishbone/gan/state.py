"""A module and its Adam as named tensors, for checkpoints; the inverse puts them back bit for bit."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def pack(prefix: str, module: nn.Module, adam: torch.optim.Adam) -> dict[str, Tensor]:
    """``prefix/module/NAME`` and ``prefix/adam/INDEX/FIELD``."""
    weights = {f"{prefix}/module/{name}": value for name, value in module.state_dict().items()}
    moments = {
        f"{prefix}/adam/{index}/{field}": value
        for index, fields in adam.state_dict()["state"].items()
        for field, value in fields.items()
    }
    return weights | moments


def unpack(prefix: str, tensors: Mapping[str, Tensor], module: nn.Module, adam: torch.optim.Adam) -> None:
    """Load what `pack` gave under this prefix."""
    module.load_state_dict(_under(f"{prefix}/module/", tensors))
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in _under(f"{prefix}/adam/", tensors).items():
        index, field = key.split("/")
        moments.setdefault(int(index), {})[field] = value
    adam.load_state_dict({"state": moments, "param_groups": adam.state_dict()["param_groups"]})


def _under(start: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
