"""Training of the weights that are left, with those removed held at exactly zero."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from fishbone.curvature.layout import Layout
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.train import Recipe, train
from fishbone.pruning.pruner import Pruner
from fishbone.seeding import derive

RATE = "retraining.learning_rate"


@dataclass(frozen=True)
class Retraining:
    """What the gradual methods do after each step.

    Attributes:
        training: inputs (N, C, H, W) and labels (N,) to train on.
        validation: the same, to watch.
        recipe: epochs, rates and augmentation of the training after a step.
        seed: decides the order and augmentation of images, anew after each step.
    """

    training: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    recipe: Recipe
    seed: int

    def after(self, pruner: Pruner, step: int) -> None:
        """Train the weights that the pruner has left, in place; ``step``: number of steps that it has taken."""
        seed = derive(self.seed, "retraining", step)
        retrain(pruner.model, pruner.layout, pruner.mask, self.training, self.validation, self.recipe, seed)


def retrain(
    model: nn.Module,
    layout: Layout,
    mask: Tensor,
    training: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    recipe: Recipe,
    seed: int,
) -> None:
    """Train ``model`` in place; after every step of the optimiser the removed weights are set to zero again.

    Args:
        model: the pruned network, which is changed.
        layout: the weights that could go.
        mask: (d,) boolean, True for weights that are left.
        training: inputs (N, C, H, W) and labels (N,) to train on.
        validation: the same, to watch.
        recipe: epochs, rates and augmentation.
        seed: decides the order and augmentation of images.

    Raises:
        InputError: a loss is not finite.
    """
    parameters = dict(model.named_parameters())
    kept = [(parameters[name], part) for name, part in layout.tensors(mask).items()]

    @torch.no_grad()
    def hold(*_: object) -> None:
        for parameter, part in kept:
            parameter.mul_(part.to(parameter.device))

    within = f" at sparsity {(~mask).double().mean().item():.4f}"
    handle = register_optimizer_step_post_hook(hold)
    try:
        train(model, training, validation, recipe, seed, Checkpoint(None, {}), field=RATE, within=within)
    finally:
        handle.remove()
