"""A module and its optimiser as named tensors, for checkpoints and messages; the inverse puts them back bit for bit."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def pack(prefix: str, module: nn.Module, optimiser: torch.optim.Optimizer | None = None) -> dict[str, Tensor]:
    """``prefix/module/NAME``, and ``prefix/optimiser/INDEX/FIELD`` of what the optimiser knows of each parameter."""
    weights = {f"{prefix}/module/{name}": value for name, value in module.state_dict().items()}
    known = {} if optimiser is None else optimiser.state_dict()["state"]
    return weights | {
        f"{prefix}/optimiser/{index}/{field}": value
        for index, fields in known.items()
        for field, value in fields.items()
        if isinstance(value, Tensor)
    }


def unpack(
    prefix: str, tensors: Mapping[str, Tensor], module: nn.Module, optimiser: torch.optim.Optimizer | None = None
) -> None:
    """Load what `pack` gave under this prefix into a module and an optimiser made as they were."""
    module.load_state_dict(under(f"{prefix}/module/", tensors))
    if optimiser is not None:
        known: dict[int, dict[str, Tensor]] = {}
        for key, value in under(f"{prefix}/optimiser/", tensors).items():
            index, field = key.split("/")
            known.setdefault(int(index), {})[field] = value
        optimiser.load_state_dict({"state": known, "param_groups": optimiser.state_dict()["param_groups"]})


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those whose names begin with the prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
