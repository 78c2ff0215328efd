"""Weights of several layers as one vector of d entries, and which weights may be pruned.

Curvature and pruning work on the concatenation of the flattened weight tensors, in the order of ``names``. A
layer is also seen as a matrix of o outputs by n = inputs x kernel height x kernel width (a convolution) or
n = inputs (a linear layer).
"""

import hashlib
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layout:
    """Names and shapes of the weight tensors that make up the vector."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, model: nn.Module, names: tuple[str, ...]) -> Self:
        parameters = dict(model.named_parameters())
        return cls(tuple(names), tuple(tuple(parameters[name].shape) for name in names))

    @property
    def sizes(self) -> list[int]:
        return [torch.Size(shape).numel() for shape in self.shapes]

    @property
    def matrices(self) -> list[tuple[int, int]]:
        """(o, n) of every layer."""
        return [(shape[0], size // shape[0]) for shape, size in zip(self.shapes, self.sizes, strict=True)]

    @property
    def size(self) -> int:
        return sum(self.sizes)

    def blocks(self, vectors: Tensor) -> list[Tensor]:
        """(…, d) → views (…, o, n), one a layer."""
        parts = vectors.split(self.sizes, dim=-1)
        return [part.unflatten(-1, matrix) for part, matrix in zip(parts, self.matrices, strict=True)]

    def join(self, blocks: list[Tensor]) -> Tensor:
        """Inverse of `blocks`."""
        return torch.cat([block.flatten(-2) for block in blocks], dim=-1)

    def tensors(self, vector: Tensor) -> dict[str, Tensor]:
        """(d,) → the layers' own shapes, by name."""
        parts = zip(self.names, vector.split(self.sizes), self.shapes, strict=True)
        return {name: part.reshape(shape) for name, part, shape in parts}

    def read(self, model: nn.Module) -> Tensor:
        """A copy of the model's weights, (d,)."""
        parameters = dict(model.named_parameters())
        return torch.cat([parameters[name].detach().flatten() for name in self.names])

    def digest(self, model: nn.Module) -> str:
        """SHA-256 of the model's weights."""
        parameters, digest = dict(model.named_parameters()), hashlib.sha256()
        for name in self.names:
            digest.update(parameters[name].detach().cpu().contiguous().numpy())
        return digest.hexdigest()

    @torch.no_grad()
    def write(self, model: nn.Module, vector: Tensor) -> None:
        """Set the model's weights from (d,)."""
        parameters = dict(model.named_parameters())
        for name, value in self.tensors(vector).items():
            parameters[name].copy_(value)


def prunable(model: nn.Module) -> tuple[str, ...]:
    """Names of the weights of all Conv2d and Linear layers but the first and the last such layer.

    The first sees the raw image and the last gives the logits: both are small, and the literature's ResNet20
    experiments (WoodFisher, CHITA) leave them dense too. Biases and batch norms are never pruned, nor are frozen
    weights (``requires_grad`` False).

    Raises:
        ValueError: two layers share a weight, or nothing is left to prune.
    """
    layers = {name: m for name, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    owners: dict[int, str] = {}
    for name, layer in layers.items():
        other = owners.setdefault(id(layer.weight), name)
        if other != name:
            raise ValueError(f"{other} and {name} share one weight; curvature of tied weights is not supported")
    names = [f"{name}.weight" for name, layer in list(layers.items())[1:-1] if layer.weight.requires_grad]
    if not names:
        raise ValueError("no Conv2d or Linear layer to prune between the first and the last one; name layers yourself")
    return tuple(names)
