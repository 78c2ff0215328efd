"""Loss and accuracy on held arrays, and the recalibration of batch-norm statistics."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fishbone.nn.memory_format import arranged


@torch.no_grad()
def evaluate(model: nn.Module, inputs: Tensor, labels: Tensor, batch: int = 128) -> dict[str, float]:
    """``{"loss": mean cross-entropy in nats, "accuracy": fraction in [0, 1]}`` in eval mode, float32.

    An image whose logits are not all finite is classified wrongly.

    Args:
        model: gives logits (B, classes); left in the mode that it was in.
        inputs: (N, C, H, W) float32, or what else the model takes; N along the first axis.
        labels: (N,) int64 classes of the inputs.
        batch: how many inputs are taken at once.
    """
    loss = correct = 0.0
    with evaluating(model):
        for start in range(0, len(labels), batch):
            logits = model(arranged(inputs[start : start + batch], model)).float()
            target = labels[start : start + batch]
            loss += F.cross_entropy(logits, target, reduction="sum").double().item()
            # argmax takes NaN for the greatest: a network of NaN would be right about all of class 0.
            right = (logits.argmax(1) == target) & logits.isfinite().all(1)
            correct += right.sum().item()
    return {"loss": loss / len(labels), "accuracy": correct / len(labels)}


@torch.no_grad()
def recalibrate_batch_norm(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace running statistics by the cumulative average over ``batches`` of inputs (no labels).

    Give inputs augmented as in training: on CIFAR-10 un-augmented ones cost 2.5 points.
    Momentum and mode are left as they were.

    Args:
        model: any network; one without batch norms is left alone.
        batches: of inputs, each as the model takes it.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    with evaluating(model):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        for batch in batches:
            model(arranged(batch, model))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Hold ``model`` in eval mode meanwhile; afterwards every module is in the mode that it was in."""
    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training
