"""Gradient rows: per-image gradients of chosen directions of the logits with respect to the layers' weights.

For an image with logits z(θ) and direction c the row is J^T c, J = dz/dθ (classes x d). Rows for the columns of
S = diag(√p) - p √p^T, p = softmax(z), give the Fisher matrix of the softmax model exactly: F = mean over images
of Σ_k (J^T S e_k)(J^T S e_k)^T = mean J^T (diag p - p p^T) J, and no label is sampled (Martens, arXiv 1412.1193,
§9). The row for p - onehot(y) is the gradient of the cross-entropy on the data's label y; its outer products
make the *empirical* Fisher matrix. The model is in eval mode meanwhile: batch-norm statistics are frozen and
images do not mix. A layer's row is Σ over positions of (gradient at its output) (patch of its input)^T.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fishbone.curvature.layout import Layout


def fisher_rows(model: nn.Module, layout: Layout, inputs: Tensor, batch: int = 100) -> Tensor:
    """(images, classes, d): Σ row row^T / images = F, the exact Fisher matrix on ``inputs``."""

    def columns(logits: Tensor, _start: int) -> Tensor:
        p = logits.softmax(1)
        root = p.sqrt()
        return torch.diag_embed(root) - root[:, :, None] * p[:, None, :]

    return _rows(model, layout, inputs, columns, batch)


def empirical_rows(model: nn.Module, layout: Layout, inputs: Tensor, labels: Tensor, batch: int = 100) -> Tensor:
    """(images, d) gradients of each image's cross-entropy on its own label (int64)."""

    def residual(logits: Tensor, start: int) -> Tensor:
        target = F.one_hot(labels[start : start + len(logits)], logits.shape[1])
        return (logits.softmax(1) - target)[:, None, :]

    return _rows(model, layout, inputs, residual, batch)[:, 0]


class RememberedRows:
    """``rows(model)`` that keeps its first answer, for as long as the same weights are asked for.

    Candidates of a damping search all start from the dense network: its rows are computed once.
    """

    def __init__(self, layout: Layout, rows: Callable[[nn.Module], Tensor]):
        self.layout, self.rows = layout, rows
        self.weights = self.first = None

    def __call__(self, model: nn.Module) -> Tensor:
        weights = self.layout.read(model)
        if self.weights is None:
            self.weights, self.first = weights, self.rows(model)
        return self.first if torch.equal(weights, self.weights) else self.rows(model)


def _rows(model, layout: Layout, inputs: Tensor, directions: Callable[[Tensor, int], Tensor], batch: int) -> Tensor:
    """``directions(logits (B, C), first image) -> (B, K, C)``; result (images, K, d)."""
    training = model.training
    model.eval()
    rows = None
    for start in range(0, len(inputs), batch):
        images = inputs[start : start + batch]
        modules = [model.get_submodule(name.rpartition(".")[0]) for name in layout.names]
        with _recorded(modules) as calls, torch.enable_grad():
            logits = model(images)
        chosen = directions(logits.detach(), start)
        if rows is None:
            rows = logits.new_zeros(len(inputs), chosen.shape[1], layout.size)
        blocks = dict(zip(modules, layout.blocks(rows[start : start + batch]), strict=True))
        _add_rows(blocks, calls, logits, chosen)
    model.train(training)
    return rows


def _add_rows(blocks: dict, calls: list, logits: Tensor, chosen: Tensor) -> None:
    """Add to each module's ``blocks[module]`` (B, K, o, n) what its calls contribute."""
    patches = [_patches(module, x) for module, x, _ in calls]
    outputs = [output for *_, output in calls]
    for k in range(chosen.shape[1]):
        deltas = torch.autograd.grad(logits, outputs, chosen[:, k], retain_graph=True)
        for (module, *_), patch, delta in zip(calls, patches, deltas, strict=True):
            by_group = _positions_last(module, delta) @ patch.mT
            blocks[module][:, k] += by_group.flatten(1, 2)


@contextmanager
def _recorded(modules: list[nn.Module]) -> Iterator[list[tuple[nn.Module, Tensor, Tensor]]]:
    """Collect (module, input, output) of every call of ``modules`` meanwhile.

    The network goes on with a copy of the output: an in-place activation would otherwise replace what we recorded.
    """
    calls = []

    def record(module, arguments, output):
        if not output.requires_grad:  # frozen weights: the chain still has to start here
            output.requires_grad_()
        calls.append((module, arguments[0].detach(), output))
        return output.clone()

    handles = [module.register_forward_hook(record) for module in modules]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _patches(module: nn.Module, x: Tensor) -> Tensor:
    """What each output position multiplies: (B, groups, n, positions)."""
    if isinstance(module, nn.Linear):
        return x.reshape(len(x), 1, -1, x.shape[-1]).mT
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    x = F.pad(x, module._reversed_padding_repeated_twice, mode=mode)
    columns = F.unfold(x, module.kernel_size, module.dilation, stride=module.stride)
    return columns.unflatten(1, (module.groups, -1))


def _positions_last(module: nn.Module, delta: Tensor) -> Tensor:
    """A gradient at the output as (B, groups, o / groups, positions)."""
    if isinstance(module, nn.Linear):
        return delta.reshape(len(delta), 1, -1, delta.shape[-1]).mT
    return delta.flatten(2).unflatten(1, (module.groups, -1))
