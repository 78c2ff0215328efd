"""Training of the weights that are left, with those removed held at exactly zero."""

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from fishbone.curvature.layout import Layout
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.train import Recipe, train

RATE = "retraining.learning_rate"


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
        mask: (d,) boolean, True for weights to keep.
        training, validation: as `fishbone.nn.train.train` takes them.

    Raises:
        InputError: a loss is not finite.
    """
    parameters = dict(model.named_parameters())
    kept = [(parameters[name], part) for name, part in layout.tensors(mask).items()]

    @torch.no_grad()
    def hold(*_) -> None:
        for parameter, part in kept:
            parameter.mul_(part.to(parameter.device))

    within = f" at sparsity {(~mask).double().mean().item():.4f}"
    handle = register_optimizer_step_post_hook(hold)
    try:
        train(model, training, validation, recipe, seed, Checkpoint(None, {}), field=RATE, within=within)
    finally:
        handle.remove()
