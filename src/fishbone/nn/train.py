"""Supervised training: SGD with Nesterov momentum and the one-cycle rate (Smith & Topin 2018, arXiv 1708.07120).

Batches, crops and flips are drawn from generators keyed by (seed, purpose, epoch), so an epoch does not depend
on how the run came to it: resuming after a kill gives the same bits as never having stopped.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fishbone.nn.augment import crop_and_flip
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.divergence import require_finite
from fishbone.nn.evaluate import evaluate
from fishbone.nn.memory_format import arranged, memory_format
from fishbone.seeding import torch_generator


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        epochs: passes over the training split.
        batch: images in a step.
        learning_rate: peak of the one-cycle schedule.
        warmup: fraction of all steps in which the rate rises.
        momentum: Nesterov momentum, constant.
        weight_decay: L2 penalty on all parameters.
        padding: crops are shifted by up to this many pixels; 0 switches crops off.
        flip: mirror images at random.
        early_epochs: so many epochs at first see smaller images, which cost less (progressive resizing; Hoffer et al.
            2019, arXiv 1908.08986, train CIFAR networks on mixed sizes).
        early_size: height and width, in pixels, that images are resampled to in these epochs.
        precision: ``bf16`` autocast, ``fp32``, or ``auto``: bf16 where the processor is faster with it.
        device: ``cpu``, ``cuda``, or ``auto``: the GPU if there is one.
    """

    epochs: int
    batch: int
    learning_rate: float
    warmup: float
    momentum: float
    weight_decay: float
    padding: int
    flip: bool
    early_epochs: int
    early_size: int
    precision: str
    device: str


def pick_device(name: str) -> torch.device:
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Whether to autocast to bfloat16; ``auto``: where it is faster than float32.

    That is with matrix tiles (AMX), or with AVX-512 on AMD, whose bf16 products run at twice the rate of float32.
    On Intel without AMX they do not: a ResNet20 step measured 1.3 times slower (``benchmarks/precision.py``).
    """
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    amd = Path("/proc/cpuinfo").exists() and "AuthenticAMD" in Path("/proc/cpuinfo").read_text()
    faster = torch.cpu._is_amx_tile_supported() or (amd and torch.cpu._is_avx512_bf16_supported())
    # What the processor can do is not yet what the libraries use: ATEN_CPU_CAPABILITY and ONEDNN_MAX_CPU_ISA restrict
    # them, and they then emulate bf16 on narrower kernels.
    allowed = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return faster and allowed and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def train(
    model: nn.Module,
    training: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    recipe: Recipe,
    seed: int,
    checkpoint: Checkpoint,
    report: Callable[[dict], None] = lambda row: None,
    field: str = "learning_rate",
    within: str = "",
) -> list[dict]:
    """Train ``model`` in place.

    Args:
        training, validation: inputs (N, C, H, W) float32 and labels (N,) int64.
        checkpoint: written after every epoch and resumed from.
        report: called with each epoch's row.
        field, within: for the message about divergence: the parameter that the learning rate comes from, and what this
            training is a part of, such as `` at sparsity 0.9``.

    Returns:
        A row an epoch: ``step``, ``learning_rate``, ``train_loss``, ``train_accuracy``, ``validation_loss``,
        ``validation_accuracy``.

    Raises:
        InputError: a loss is not finite; no checkpoint of that epoch is written.
    """
    device = pick_device(recipe.device)
    bf16 = uses_bf16(recipe.precision, device)
    model.to(device, memory_format=memory_format(model))
    optimiser = torch.optim.SGD(
        model.parameters(), lr=0.0, momentum=recipe.momentum, nesterov=True, weight_decay=recipe.weight_decay
    )
    steps = -(-len(training[1]) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=recipe.epochs * steps + 1, pct_start=recipe.warmup,
        cycle_momentum=False,
    )  # fmt: skip
    history = _resume(checkpoint, model, optimiser, schedule)
    for epoch in range(len(history), recipe.epochs):
        model.train()
        blame = {"place": f"epoch {epoch + 1}{within}", "field": field}
        loss, accuracy = _epoch(model, optimiser, schedule, training, recipe, device, bf16, seed, epoch, blame)
        held = evaluate(model, validation[0].to(device), validation[1].to(device))
        require_finite(held["loss"], "the validation loss", **blame)
        history.append(
            {
                "step": epoch + 1,
                "learning_rate": schedule.get_last_lr()[0],
                "train_loss": loss,
                "train_accuracy": accuracy,
                "validation_loss": held["loss"],
                "validation_accuracy": held["accuracy"],
            }
        )
        _save(checkpoint, model, optimiser, schedule, history)
        report(history[-1])
    model.to("cpu", memory_format=torch.contiguous_format).eval()
    return history


def _epoch(model, optimiser, schedule, training, recipe, device, bf16, seed, epoch, blame) -> tuple[float, float]:
    """One pass in random order; (mean loss, accuracy) over it."""
    inputs, labels = training
    order = torch.randperm(len(labels), generator=torch_generator(seed, "order", epoch))
    draws = torch_generator(seed, "augmentation", epoch)
    loss_sum = correct = 0.0
    for step, batch in enumerate(order.split(recipe.batch), start=1):
        images = crop_and_flip(inputs[batch], recipe.padding, recipe.flip, draws)
        if epoch < recipe.early_epochs:
            images = F.interpolate(images, size=recipe.early_size, mode="bilinear", antialias=True)
        images = arranged(images.to(device), model)
        target = labels[batch].to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = model(images)
        logits = logits.float()
        loss = F.cross_entropy(logits, target)
        require_finite(loss.item(), f"the loss of step {step}", **blame)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        loss_sum += loss.item() * len(batch)
        correct += (logits.argmax(1) == target).sum().item()
    return loss_sum / len(labels), correct / len(labels)


def _save(checkpoint, model, optimiser, schedule, history) -> None:
    momenta = {f"momentum/{i}": state["momentum_buffer"] for i, state in optimiser.state_dict()["state"].items()}
    weights = {f"model/{name}": value for name, value in model.state_dict().items()}
    state = {"history": history, "steps": schedule.last_epoch, "learning_rate": schedule.get_last_lr()[0]}
    checkpoint.save(weights | momenta, state)


def _resume(checkpoint, model, optimiser, schedule) -> list[dict]:
    """Load weights, momenta and rate; returns the history so far (empty: start from the beginning)."""
    saved = checkpoint.load()
    if saved is None:
        return []
    tensors, state = saved
    model.load_state_dict({n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")})
    optimiser_state = optimiser.state_dict()
    optimiser_state["state"] = {
        int(n.removeprefix("momentum/")): {"momentum_buffer": t}
        for n, t in tensors.items()
        if n.startswith("momentum/")
    }
    optimiser_state["param_groups"][0]["lr"] = state["learning_rate"]
    optimiser.load_state_dict(optimiser_state)
    schedule.last_epoch = state["steps"]
    schedule._last_lr = [state["learning_rate"]]
    return state["history"]
