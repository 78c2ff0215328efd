"""Per-image gradients of chosen directions of the outputs, layer by layer and batch by batch.

For an image with outputs z(θ) and direction c the *row* is J^T c, J = dz/dθ. Which directions, says ``kind``:

- ``exact``: the C columns of S, S S^T = H (`fishbone.curvature.likelihoods`): Σ row row^T / images is the Fisher
  matrix exactly, at C backward passes a batch.
- ``signs``: S e with random signs e, one backward pass a batch: E row row^T is the same matrix, without sampled
  labels and with lighter tails than theirs.
- ``labels``: the gradient of the loss on the data's own labels: the *empirical* Fisher matrix.

The model is in eval mode meanwhile: batch-norm statistics are frozen and images do not mix. A layer's row is the sum
over positions of (gradient at its output) (patch of its input)^T. Patches and rows are made for one layer of one batch
at a time, when asked for, so memory grows neither with images x weights nor with all layers' patches.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fishbone.curvature.layout import Layout
from fishbone.curvature.likelihoods import Likelihood, Softmax
from fishbone.errors import ArgumentError
from fishbone.nn.evaluate import evaluating
from fishbone.seeding import torch_generator

Kind = Literal["exact", "signs", "labels"]
ROW_BYTES = 24_000_000  # of the widest layer's rows in a batch, for each direction


@dataclass
class LayerGradients:
    """One layer's part of a batch, with a list entry for each call of the layer in the forward pass.

    Attributes:
        module: the layer itself, Conv2d or Linear.
        inputs: what was given to it, (B, …).
        deltas: gradient at the output, (B, K, groups, o / groups, positions), K directions.
    """

    module: nn.Module
    inputs: list[Tensor] = field(default_factory=list)
    deltas: list[Tensor] = field(default_factory=list)

    def patches(self) -> Iterator[Tensor]:
        """Yield what each output position multiplies, (B, groups, n, positions), for each call of the layer."""
        return (_patches(self.module, x) for x in self.inputs)

    def rows(self) -> Tensor:
        """Return the gradient rows, (B, K, o, n), summed over the layer's calls."""
        calls = zip(self.patches(), self.deltas, strict=True)
        return functools.reduce(torch.add, ((delta @ patch.mT[:, None]).flatten(2, 3) for patch, delta in calls))


@dataclass
class Gradients:
    """Gradient rows of ``inputs`` for any state of the network.

    Attributes:
        layout: the prunable weights, and where each layer's lie in one vector (d,).
        inputs: images (N, …), augmented as in training.
        kind: which directions; see the module's docstring.
        likelihood: what the network's outputs mean.
        targets: of the images, as the likelihood takes them; needed where ``kind`` is ``labels``.
        seed: decides the random signs; an image's signs do not depend on the batch it is in.
        backward: backward passes of one image so far: what the curvature has cost.
    """

    layout: Layout
    inputs: Tensor
    kind: Kind
    likelihood: Likelihood = field(default_factory=Softmax)
    targets: Tensor | None = None
    seed: int = 0
    backward: int = 0

    def __len__(self) -> int:
        return len(self.inputs)

    def batches(
        self, model: nn.Module, start: int = 0, stop: int | None = None, row_bytes: int | None = None
    ) -> Iterator[list[LayerGradients]]:
        """Yield the layers' gradients of images ``start`` to ``stop``, as many at a time as ``row_bytes`` allows."""
        stop = len(self) if stop is None else stop
        largest = max(self.layout.sizes) * self.inputs.element_size()
        size = max(1, min(100, (row_bytes or ROW_BYTES) // largest))
        for first in range(start, stop, size):
            yield self._batch(model, slice(first, min(first + size, stop)))

    def _batch(self, model: nn.Module, images: slice) -> list[LayerGradients]:
        modules = [model.get_submodule(name.rpartition(".")[0]) for name in self.layout.names]
        with evaluating(model), _calls_of(modules) as calls, torch.enable_grad():
            outputs = model(self.inputs[images]).flatten(1)
        directions = self._directions(outputs.detach(), images)
        self.backward += directions.shape[0] * directions.shape[1]
        names = dict(zip(modules, self.layout.names, strict=True))
        layers = {module: LayerGradients(module) for module in modules}
        for module, x, _ in calls:
            if len(x) != len(outputs):
                shape = tuple(x.shape)
                raise ArgumentError(f"{names[module]}: its input {shape} has not the {len(outputs)} images first")
            layers[module].inputs.append(x)
        ends = [output for *_, output in calls]
        gradients = [
            torch.autograd.grad(outputs, ends, direction, retain_graph=k + 1 < directions.shape[1], allow_unused=True)
            for k, direction in enumerate(directions.unbind(1))
        ]
        idle = {module for (module, *_), delta in zip(calls, gradients[0], strict=True) if delta is None}
        unused = [name for module, name in names.items() if module in idle or not layers[module].inputs]
        if unused:
            raise ArgumentError(f"calls of these layers take no part in the network's output: {', '.join(unused)}")
        for (module, *_), *deltas in zip(calls, *gradients, strict=True):
            layers[module].deltas.append(torch.stack([_by_group(module, delta) for delta in deltas], dim=1))
        return list(layers.values())

    def _directions(self, outputs: Tensor, images: slice) -> Tensor:
        """(B, K, C)."""
        if self.kind == "labels":
            assert self.targets is not None, "the empirical matrix needs labels"
            return self.likelihood.residual(outputs, self.targets[images])[:, None]
        columns = self.likelihood.root(outputs).mT
        if self.kind == "exact":
            return columns
        generator = torch_generator(self.seed, "signs")
        signs = torch.randint(0, 2, (len(self), outputs.shape[1]), generator=generator)[images] * 2 - 1
        return signs.to(outputs)[:, None] @ columns


class Remembered:
    """Computes something of a model, and keeps its first answer for as long as the same weights are asked for.

    Candidates of a damping search all start from the dense network: its curvature is computed once.

    Args:
        layout: the weights that the answer depends on.
        compute: what to compute of the model.
    """

    def __init__(self, layout: Layout, compute: Callable[[nn.Module], Any]) -> None:
        self.layout, self.compute = layout, compute
        self.weights: str | None = None
        self.first: Any = None

    def __call__(self, model: nn.Module) -> Any:
        """Return ``compute(model)``, or what it gave for the same weights at first."""
        weights = self.layout.digest(model)
        if self.weights is None:
            self.weights, self.first = weights, self.compute(model)
        return self.first if weights == self.weights else self.compute(model)

    def forget(self) -> None:
        """Let go of the answer that is kept; the next one is kept again."""
        self.weights, self.first = None, None


@contextmanager
def _calls_of(modules: list[nn.Module]) -> Iterator[list[tuple[nn.Module, Tensor, Tensor]]]:
    """Collect (module, input, output) of every call of ``modules`` meanwhile.

    The network goes on with a copy of the output: an in-place activation would otherwise replace what we noted.
    """
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []

    def note(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if not output.requires_grad:  # frozen weights: the chain still has to start here
            output.requires_grad_()
        calls.append((module, arguments[0].detach(), output))
        return output.clone()

    handles = [module.register_forward_hook(note) for module in modules]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _patches(module: nn.Module, x: Tensor) -> Tensor:
    """What each output position multiplies: (B, groups, n, positions)."""
    if isinstance(module, nn.Linear):
        return x.reshape(len(x), 1, -1, x.shape[-1]).mT
    assert isinstance(module, nn.Conv2d), "layouts are of Conv2d and Linear layers"
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    windows = F.pad(x, module._reversed_padding_repeated_twice, mode=mode)
    for axis, size, dilation, stride in zip((2, 3), module.kernel_size, module.dilation, module.stride, strict=True):
        windows = windows.unfold(axis, dilation * (size - 1) + 1, stride)[..., ::dilation]
    columns = windows.permute(0, 1, 4, 5, 2, 3)  # views so far: one copy, in a fraction of the time of F.unfold
    patches: Tensor = columns.reshape(len(x), module.groups, -1, columns.shape[-2] * columns.shape[-1])
    return patches


def _by_group(module: nn.Module, delta: Tensor) -> Tensor:
    """A gradient at the output as (B, groups, o / groups, positions)."""
    if isinstance(module, nn.Linear):
        return delta.reshape(len(delta), 1, -1, delta.shape[-1]).mT
    grouped: Tensor = delta.flatten(2).unflatten(1, (module.groups, -1))
    return grouped
