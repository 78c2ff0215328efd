"""A module and its optimiser as named tensors, for checkpoints and messages; the inverse puts them back bit for bit."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def pack(prefix: str, module: nn.Module, optimiser: torch.optim.Optimizer | None = None) -> dict[str, Tensor]:
    """``prefix/module/NAME`` of each weight and buffer, and ``prefix/optimiser/INDEX/FIELD`` of each parameter's state.

    The tensors are the module's own, not copies: they change with it. Rates and other settings of the optimiser are
    not among them: they come from how it was made.

    Args:
        prefix: what all the names begin with, such as ``network``.
        module: of any kind; one without weights gives no tensors.
        optimiser: of the module's parameters; None where it has none.
    """
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
    """Load what `pack` gave under this prefix into a module and an optimiser made as they were.

    Args:
        prefix: that which was given to `pack`.
        tensors: by name; those of other prefixes are left alone.
        module: gets the weights and buffers.
        optimiser: gets the state of its parameters, and keeps its settings; None where the module has no parameters.
    """
    module.load_state_dict(under(f"{prefix}/module/", tensors))
    if optimiser is not None:
        known: dict[int, dict[str, Tensor]] = {}
        for key, value in under(f"{prefix}/optimiser/", tensors).items():
            index, field = key.split("/")
            known.setdefault(int(index), {})[field] = value
        optimiser.load_state_dict({"state": known, "param_groups": optimiser.state_dict()["param_groups"]})


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those tensors whose names begin with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
