"""FishLeg: the inverse Fisher matrix itself is learnt, from its action on Gaussian directions.

Garcia et al. (ICLR 2023) and McGowan et al. (FLS, arXiv 2412.02328). For directions
u ~ N(0, I) and v = M Q M u (M: a mask of weights) the auxiliary loss ½ v^T (F + gamma I) v - u^T v falls to its minimum
where M Q M = (F_MM + gamma I)^-1. Its gradient does not pass through the network a second time: the residual
r = M (F + gamma I) v - u is held fixed and r^T v is differentiated with respect to Q's parameters. Products with F are
those of gradient rows (`fishbone.curvature.gradients`), layer by layer: Q is block-diagonal, so products between
layers would only add noise. Each layer's Q is one `KroneckerInverse`.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from fishbone.curvature.gradients import Gradients, LayerGradients
from fishbone.curvature.kronecker import KroneckerInverse, Place, auxiliary_loss
from fishbone.curvature.layout import Layout
from fishbone.curvature.learning import Learning, learn
from fishbone.curvature.starts import diagonal_start, factored_start, isotropic_start, spectral_start
from fishbone.curvature.statistics import activation_spectra, row_spectra, squares
from fishbone.seeding import torch_generator

JUDGED_DIRECTIONS = 8


class FishLeg:
    """Estimator that learns the inverse; see `fishbone.curvature.protocol.Estimator`.

    `refine` logs ``auxiliary_loss_start`` and ``auxiliary_loss_end``, averaged over u, on images kept apart, times
    gamma / weights: -½ where F = 0, greater where there is curvature; and ``accepted_layers``. A layer whose loss
    did not fall is put back.

    Args:
        layout: the prunable weights, and where each layer's lie in one vector (d,).
        gradients: rows; the first ``learning.held_out`` images are kept apart.
        statistics: model → what the start is made of: `start_statistics`, remembered or not.
        gamma: damping, in units of F.
        learning: form and start of Q, and how it is learnt from there.
        seed: decides the random directions; the same seed gives the same directions.
    """

    def __init__(
        self,
        layout: Layout,
        gradients: Gradients,
        statistics: Callable[[nn.Module], list[Any]],
        gamma: float,
        learning: Learning,
        seed: int,
    ) -> None:
        self.layout, self.gradients, self.statistics = layout, gradients, statistics
        self.gamma, self.learning, self.seed = gamma, learning, seed
        self.support = torch.ones(layout.size, dtype=torch.bool)
        self.parts = layout.sizes
        self.layers: list[KroneckerInverse] = []
        self.optimiser: torch.optim.Adam | None = None

    def refine(self, model: nn.Module, mask: Tensor, step: int) -> dict[str, float]:
        if self.learning.renew or not self.layers:
            self._take(start_layers(self.layout, self.statistics(model), self.gamma, self.learning))
        if self.learning.weights == "active":
            self.support = mask.clone()
        steps = self.learning.later_steps if step else self.learning.first_steps
        judged = bool(self.learning.held_out)
        if not (steps or judged):
            return {}
        inputs = self.gradients.inputs
        exact = inputs if inputs.is_floating_point() else self.layers[0].log_scale  # inputs may be indices of tokens
        masks = self.layout.blocks(self.support.to(exact.dtype))
        start = end = self._judge(model, masks, step) if judged else []
        if steps:
            assert self.optimiser is not None, "something is learnt"
            before = [layer.detached() for layer in self.layers]
            draws = functools.partial(torch_generator, self.seed, "auxiliary directions", step)
            batches = _endless(model, self.gradients, self.learning)
            learn(self.layers, self.optimiser, batches, masks, self.gamma, self.learning, steps, draws)
            end = self._judge(model, masks, step) if judged else []
            self._put_back(before, start, end)
        scale = self.gamma / self.support.sum().item()
        return {
            "auxiliary_loss_start": scale * sum(start),
            "auxiliary_loss_end": scale * sum(map(min, zip(start, end, strict=True))),
            "accepted_layers": sum(now < was for was, now in zip(start, end, strict=True)),
        } if judged else {}  # fmt: skip

    @torch.no_grad()
    def product(self, vectors: Tensor, part: int) -> Tensor:
        return self.layers[part].product(vectors.unflatten(-1, self.layout.matrices[part])).flatten(-2)

    @torch.no_grad()
    def diagonal(self, part: int) -> Tensor:
        return self.layers[part].diagonal().flatten()

    @torch.no_grad()
    def blocks(self, positions: Tensor, part: int) -> Tensor:
        return self.layers[part].blocks(positions)

    def state(self) -> dict[str, Tensor]:
        tensors = {"support": self.support}
        for index, layer in enumerate(self.layers):
            for part, parameter in enumerate(layer.parameters):
                tensors[f"{index}/{part}/value"] = parameter.detach()
                moments = self.optimiser.state[parameter] if self.optimiser else {}
                tensors |= {f"{index}/{part}/{name}": value for name, value in moments.items()}
        return tensors

    def restore(self, state: dict[str, Tensor]) -> None:
        self.support = state["support"]
        layers = []
        for index, shape in enumerate(modes(self.layout, self.learning)):
            log_scale, *bases = (state[f"{index}/{part}/value"] for part in range(1 + len(shape)))
            layers.append(KroneckerInverse(log_scale, tuple(bases), _place(self.learning)))
        self._take(layers)
        for index, layer in enumerate(self.layers):
            for part, parameter in enumerate(layer.parameters):
                names = "step", "exp_avg", "exp_avg_sq"
                kept = {n: state[f"{index}/{part}/{n}"] for n in names if f"{index}/{part}/{n}" in state}
                if kept:
                    assert self.optimiser is not None, "something was learnt"
                    self.optimiser.state[parameter].update(kept)

    def _take(self, layers: list[KroneckerInverse]) -> None:
        """Learn from ``layers`` on, with new moments; from a copy, as remembered statistics may share their bases."""
        learns = self.learning.first_steps or self.learning.later_steps
        self.layers = [layer.detached() for layer in layers] if learns else layers
        parameters = [p.requires_grad_(bool(learns)) for layer in self.layers for p in layer.parameters]
        # eps: without preconditioning the gradients are of the order of gamma, far below Adam's usual 1e-8
        groups = [{"params": [p]} for p in parameters]
        self.optimiser = torch.optim.Adam(groups, eps=1e-20) if learns else None  # it loads a compiler: 2 s, 40 MB

    @torch.no_grad()
    def _judge(self, model: nn.Module, masks: list[Tensor], step: int) -> list[float]:
        """Each layer's auxiliary loss on the held-out images; the same directions before and after."""
        curved = [torch.zeros(())] * len(masks)
        for gradients in self.gradients.batches(model, 0, self.learning.held_out):
            for index, (layer, one, mask) in enumerate(zip(self.layers, gradients, masks, strict=True)):
                curved[index] = curved[index] + (layer.product(one.rows(), mask) ** 2).sum()
        generator = torch_generator(self.seed, "judging directions", step)
        losses = []
        for layer, total, mask in zip(self.layers, curved, masks, strict=True):
            u = torch.randn(JUDGED_DIRECTIONS, *mask.shape, generator=generator, dtype=mask.dtype)
            losses.append(auxiliary_loss(layer, total / self.learning.held_out, self.gamma, mask, u).item())
        return losses

    @torch.no_grad()
    def _put_back(self, before: list[KroneckerInverse], start: list[float], end: list[float]) -> None:
        """Undo the layers whose loss did not fall; their moments stay, unless they overflowed."""
        assert self.optimiser is not None, "something was learnt"
        judged = zip(self.layers, before, start, end, strict=True) if start else ()
        for layer, old, was, now in judged:
            if not now < was:
                for parameter, value in zip(layer.parameters, old.parameters, strict=True):
                    parameter.copy_(value)
                    if not all(torch.isfinite(moment).all() for moment in self.optimiser.state[parameter].values()):
                        del self.optimiser.state[parameter]


def modes(layout: Layout, learning: Learning) -> list[tuple[int, ...]]:
    """Return each layer's modes in the form that is learnt: (o, n), or (o, i, k) of a convolution in three-way form."""
    three_way = learning.form == "three_way"
    shapes = zip(layout.shapes, layout.matrices, strict=True)
    return [
        (s[0], s[1], torch.Size(s[2:]).numel()) if three_way and torch.Size(s[2:]).numel() > 1 else matrix
        for s, matrix in shapes
    ]


def start_statistics(model: nn.Module, gradients: Gradients, learning: Learning) -> list[Any]:
    """Return what `start_layers` needs, one entry a layer; it does not depend on the damping."""
    shapes = modes(gradients.layout, learning)
    if learning.start == "activations":
        return activation_spectra(model, gradients, shapes, learning.held_out)
    if learning.start == "rows":
        return row_spectra(model, gradients, shapes, learning.held_out)
    if learning.start == "diagonal":
        return gradients.layout.blocks(squares(model, gradients, learning.held_out))
    return [None] * len(shapes)


def start_layers(layout: Layout, statistics: list[Any], gamma: float, learning: Learning) -> list[KroneckerInverse]:
    """Make each layer's Q before any learning.

    Args:
        layout: the prunable weights, and where each layer's lie in one vector (d,).
        statistics: one entry a layer, as `start_statistics` gives them.
        gamma: the damping that is added to F's diagonal.
        learning: says in which form, and from which start.
    """
    place = _place(learning)
    shapes = modes(layout, learning)
    if learning.start == "isotropic":
        return [isotropic_start(shape, gamma, place) for shape in shapes]
    if learning.start == "diagonal":
        return [diagonal_start(own, shape, gamma, place) for own, shape in zip(statistics, shapes, strict=True)]
    make = spectral_start if place == "inside" else factored_start
    return [make(spectrum, gamma) for spectrum in statistics]


def _place(learning: Learning) -> Place:
    return "outside" if learning.form == "outer" else "inside"


def _endless(model: nn.Module, gradients: Gradients, learning: Learning) -> Iterator[Iterator[list[LayerGradients]]]:
    """Batch after batch of the images that are not held out, round and round; the last short batch is left out."""
    first, images = learning.held_out, len(gradients)
    size = min(learning.batch, images - first)
    while True:
        for start in range(first, images - size + 1, size):
            yield gradients.batches(model, start, start + size)
