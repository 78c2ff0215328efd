"""Supervised training: SGD with Nesterov momentum and the one-cycle rate (Smith & Topin 2018, arXiv 1708.07120).

Batches, crops and flips are drawn from generators keyed by (seed, purpose, epoch), so an epoch does not depend
on how the run came to it: resuming after a kill gives the same bits as never having stopped.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fishbone.errors import ArgumentError
from fishbone.nn.augment import crop_and_flip
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.divergence import require_finite
from fishbone.nn.evaluate import evaluate
from fishbone.nn.loop import resume
from fishbone.nn.memory_format import arranged, memory_format
from fishbone.nn.optimiser import Optimiser
from fishbone.nn.pack import pack, unpack
from fishbone.nn.precision import pick_device, uses_bf16
from fishbone.seeding import torch_generator


@dataclass(frozen=True)
class Recipe:
    """How to train: SGD with Nesterov momentum and the one-cycle rate, on augmented images.

    Args:
        epochs: passes over the training split.
        batch: images in a step.
        learning_rate: peak of the one-cycle schedule.
        warmup: fraction of all steps in which the rate rises.
        momentum: Nesterov momentum, the same in all steps.
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


def train(
    model: nn.Module,
    training: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    recipe: Recipe,
    seed: int,
    checkpoint: Checkpoint,
    report: Callable[[dict[str, Any]], None] = lambda row: None,
    field: str = "learning_rate",
    within: str = "",
) -> list[dict[str, Any]]:
    """Train ``model`` in place.

    Args:
        model: gives logits (B, classes) of inputs (B, C, H, W); it ends on the CPU, in eval mode.
        training, validation: inputs (N, C, H, W) float32 and labels (N,) int64.
        recipe: epochs, rates, augmentation and precision.
        seed: decides the order of the images and their augmentation; the same seed gives the same network.
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
    work = _Training(model, training, validation, recipe, seed, field, within)
    history = resume(work, recipe.epochs, checkpoint, report)
    _move(model, torch.device("cpu"), torch.contiguous_format)
    model.eval()
    return history


class _Training:
    """`fishbone.nn.loop.Work` whose step is an epoch; arguments as `train` has them."""

    def __init__(
        self,
        model: nn.Module,
        training: tuple[Tensor, Tensor],
        validation: tuple[Tensor, Tensor],
        recipe: Recipe,
        seed: int,
        field: str,
        within: str,
    ):
        self.model, self.training, self.validation, self.recipe, self.seed = model, training, validation, recipe, seed
        self.field, self.within = field, within
        self.device = pick_device(recipe.device)
        self.bf16 = uses_bf16(recipe.precision, self.device)
        _move(model, self.device, memory_format(model))
        sgd = Optimiser("sgd", recipe.learning_rate, recipe.momentum, nesterov=True, weight_decay=recipe.weight_decay)
        optimiser = sgd.make(model.parameters())
        if optimiser is None:
            raise ArgumentError("the network has no parameters to train")
        self.optimiser = optimiser
        steps = -(-len(training[1]) // recipe.batch)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, recipe.learning_rate, total_steps=recipe.epochs * steps + 1, pct_start=recipe.warmup,
            cycle_momentum=False,
        )  # fmt: skip

    def step(self, number: int) -> dict[str, Any]:
        """One pass over the training split in random order, and a look at the validation split."""
        place = f"epoch {number}{self.within}"
        self.model.train()
        loss, accuracy = self._pass(number - 1, place)
        inputs, labels = self.validation
        held = evaluate(self.model, inputs.to(self.device), labels.to(self.device))
        require_finite(held["loss"], "the validation loss", place, field=self.field)
        return {
            "learning_rate": self.schedule.get_last_lr()[0],
            "train_loss": loss,
            "train_accuracy": accuracy,
            "validation_loss": held["loss"],
            "validation_accuracy": held["accuracy"],
        }

    def pack(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Weights and momenta; where the schedule stands."""
        values = {"steps": self.schedule.last_epoch, "learning_rate": self.schedule.get_last_lr()[0]}
        return pack("network", self.model, self.optimiser), values

    def unpack(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Inverse of `pack`."""
        unpack("network", tensors, self.model, self.optimiser)
        self.schedule.last_epoch = values["steps"]
        self.schedule._last_lr = [values["learning_rate"]]
        self.optimiser.param_groups[0]["lr"] = values["learning_rate"]

    def _pass(self, epoch: int, place: str) -> tuple[float, float]:
        """(mean loss, accuracy) over the training split, while the weights change."""
        inputs, labels = self.training
        order = torch.randperm(len(labels), generator=torch_generator(self.seed, "order", epoch))
        draws = torch_generator(self.seed, "augmentation", epoch)
        loss_sum = correct = 0.0
        for step, batch in enumerate(torch.split(order, self.recipe.batch), start=1):
            images = crop_and_flip(inputs[batch], self.recipe.padding, self.recipe.flip, draws)
            if epoch < self.recipe.early_epochs:
                images = F.interpolate(images, size=self.recipe.early_size, mode="bilinear", antialias=True)
            target = labels[batch].to(self.device)
            logits = self._logits(images.to(self.device))
            loss = F.cross_entropy(logits, target)
            require_finite(loss.item(), f"the loss of step {step}", place, field=self.field)
            self._descend(loss)
            loss_sum += loss.item() * len(batch)
            correct += (logits.argmax(1) == target).sum().item()
        return loss_sum / len(labels), correct / len(labels)

    def _logits(self, images: Tensor) -> Tensor:
        """(B, classes) float32."""
        images = arranged(images, self.model)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            logits: Tensor = self.model(images)
        return logits.float()

    def _descend(self, loss: Tensor) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimiser.step()
        self.schedule.step()


def _move(model: nn.Module, device: torch.device, arrangement: torch.memory_format) -> None:
    model.to(device, memory_format=arrangement)  # type: ignore[call-overload]  # missing in torch's annotations
