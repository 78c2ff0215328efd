"""Weights of several layers as one vector of d entries, and which weights may be pruned.

Curvature and pruning work on the concatenation of the flattened weight tensors, in the order of ``names``. A
layer is also seen as a matrix of o outputs by n = inputs x kernel height x kernel width (a convolution) or
n = inputs (a linear layer).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from fishbone.errors import ArgumentError


@dataclass(frozen=True)
class Layout:
    """Names and shapes of the weight tensors that make up the vector of d entries."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, model: nn.Module, names: tuple[str, ...]) -> Self:
        """Make the layout of the parameters ``names`` of ``model``."""
        parameters = dict(model.named_parameters())
        return cls(tuple(names), tuple(tuple(parameters[name].shape) for name in names))

    @property
    def sizes(self) -> list[int]:
        """Number of weights of every layer."""
        return [torch.Size(shape).numel() for shape in self.shapes]

    @property
    def matrices(self) -> list[tuple[int, int]]:
        """(o, n) of every layer."""
        return [(shape[0], size // shape[0]) for shape, size in zip(self.shapes, self.sizes, strict=True)]

    @property
    def size(self) -> int:
        """d, the number of weights."""
        return sum(self.sizes)

    def blocks(self, vectors: Tensor) -> list[Tensor]:
        """Return views (…, o, n), one a layer, of vectors (…, d)."""
        parts = vectors.split(self.sizes, dim=-1)
        return [part.unflatten(-1, matrix) for part, matrix in zip(parts, self.matrices, strict=True)]

    def join(self, blocks: list[Tensor]) -> Tensor:
        """Join (…, o, n), one a layer, to (…, d): the inverse of `blocks`."""
        return torch.cat([block.flatten(-2) for block in blocks], dim=-1)

    def tensors(self, vector: Tensor) -> dict[str, Tensor]:
        """Return the parts of a vector (d,) in the layers' own shapes, by name."""
        parts = zip(self.names, vector.split(self.sizes), self.shapes, strict=True)
        return {name: part.reshape(shape) for name, part, shape in parts}

    def read(self, model: nn.Module) -> Tensor:
        """Return a copy of the model's weights, (d,)."""
        parameters = dict(model.named_parameters())
        return torch.cat([parameters[name].detach().flatten() for name in self.names])

    def digest(self, model: nn.Module) -> str:
        """Return the SHA-256 of the model's weights, in hexadecimal digits."""
        parameters, digest = dict(model.named_parameters()), hashlib.sha256()
        for name in self.names:
            digest.update(parameters[name].detach().cpu().contiguous().numpy().data)
        return digest.hexdigest()

    @torch.no_grad()
    def write(self, model: nn.Module, vector: Tensor) -> None:
        """Set the model's weights from a vector (d,)."""
        parameters = dict(model.named_parameters())
        for name, value in self.tensors(vector).items():
            parameters[name].copy_(value)


def prunable(model: nn.Module, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the names of the weights to prune: those of all Conv2d and Linear layers but the first and the last.

    The first sees the raw image and the last gives the logits: both are small, and the literature's ResNet20
    experiments (WoodFisher, CHITA) leave them dense too. Biases and batch norms are never pruned, nor are frozen
    weights (``requires_grad`` False) unless they are asked for.

    Args:
        model: any network with Conv2d or Linear layers.
        names: weights asked for in place of those; returned as they are if they can be pruned.

    Raises:
        ArgumentError: nothing is left to prune, or a name is not the weight of such a layer, or it is no parameter of
            its own: shared by two layers, or computed from others (weight norm).
    """
    layers = {f"{name}.weight": m for name, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    if names is None:
        names = [name for name, layer in list(layers.items())[1:-1] if layer.weight.requires_grad]
        if not names:
            raise ArgumentError("no Conv2d or Linear layer to prune between the first and the last one; name weights")
    if unknown := [name for name in names if name not in layers]:
        known = ", ".join(layers)
        raise ArgumentError(f"not the weight of a Conv2d or Linear layer: {', '.join(unknown)}; there are {known}")
    if not names or len(set(names)) < len(names):
        raise ArgumentError(f"names should be at least one weight, each once, not {list(names)}")
    owners: dict[int, str] = {}
    for name, layer in layers.items():
        weight = dict(layer.named_parameters(recurse=False)).get("weight")
        if weight is None and name in names:
            raise ArgumentError(
                f"{name} is computed from other parameters: make it plain first (weight norm: remove it)"
            )
        other = name if weight is None else owners.setdefault(id(weight), name)
        if other != name and {name, other} & set(names):
            raise ArgumentError(f"{other} and {name} share one weight; curvature of tied weights is not supported")
    return tuple(names)
