"""Pruning any network in a few lines: ``Surgeon(model, loader, "softmax").prune(0.9)``."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from fishbone.curvature.gradients import Gradients
from fishbone.curvature.layout import Layout, prunable
from fishbone.curvature.learning import Learning
from fishbone.curvature.likelihoods import LIKELIHOODS, Likelihood
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.evaluate import recalibrate_batch_norm
from fishbone.pruning.compensation import Solver
from fishbone.pruning.images import recalibrated
from fishbone.pruning.masks import cubic_steps, geometric_steps
from fishbone.pruning.methods import METHODS, estimators
from fishbone.pruning.operation import Operation, Surgery
from fishbone.pruning.patterns import check, parse_pattern
from fishbone.pruning.trajectory import follow, score_dampings

LEARNING = Learning(
    form="three_way", start="activations", first_steps=0, later_steps=0, learning_rate=1e-3, directions=4, batch=25,
    held_out=0, precondition=True, weights="all", renew=False,
)  # fmt: skip
SOLVER = Solver(iterations=100, tolerance=1e-3)


@dataclass(frozen=True)
class Pruned:
    """Attributes:
    masks: by name of the weight, True for weights that are left.
    gamma: the damping chosen.
    validation_loss: of every damping tried, in nats, the mean over the steps.
    history: a row a step.
    """

    masks: dict[str, Tensor]
    gamma: float
    validation_loss: dict[str, float]
    history: list[dict]


class Surgeon:
    """Prunes a trained network, without retraining it.

    Args:
        model: trained; any module with Conv2d and Linear layers. Left as it is until `prune` is called.
        loader: batches (inputs, targets) of *training* data, augmented as in training; read until there are enough.
        likelihood: what the outputs mean: ``softmax`` (targets int64), ``gaussian`` or ``bernoulli``, or an object
            like those in `fishbone.curvature.likelihoods`.
        method: a name in `fishbone.pruning.methods.METHODS`.
        images: inputs to read, for curvature and batch norms.
        validation: inputs and targets that choose the damping; None takes a quarter of ``images`` for it, which are
            then held out of the curvature (but were trained on).
        names: weights to prune; by default as `fishbone.curvature.layout.prunable` says.
        learning: how FishLeg learns; as it comes it stays at its closed form, which learning hardly improves.
        seed: of all random draws.

    Raises:
        ValueError: tied weights, nothing to prune, an unknown method or likelihood, or too few inputs.
    """

    def __init__(
        self,
        model: nn.Module,
        loader: Iterable[tuple[Tensor, Tensor]],
        likelihood: str | Likelihood = "softmax",
        *,
        method: str = "fls",
        images: int = 1000,
        validation: tuple[Tensor, Tensor] | None = None,
        names: Sequence[str] | None = None,
        learning: Learning = LEARNING,
        seed: int = 0,
    ):
        for what, name, known in (("method", method, METHODS), ("likelihood", likelihood, LIKELIHOODS)):
            if isinstance(name, str) and name not in known:
                raise ValueError(f"unknown {what} {name!r}: give one of {', '.join(known)}")
        self.model, self.method = model, METHODS[method]
        self.likelihood = LIKELIHOODS[likelihood] if isinstance(likelihood, str) else likelihood
        self.layout = Layout.of(model, prunable(model) if names is None else tuple(names))
        inputs, targets = _collect(loader, images)
        held = 0 if validation is not None else len(inputs) // 4
        self.validation = (inputs[:held], targets[:held]) if validation is None else validation
        self.inputs = inputs[held:]
        if learning.held_out >= len(self.inputs):
            raise ValueError(f"learning.held_out is {learning.held_out}, but there are {len(self.inputs)} inputs")
        gradients = Gradients(self.layout, self.inputs, "signs", self.likelihood, targets[held:], seed)
        self.estimators = estimators(self.method, gradients, block=64, learning=learning, seed=seed)
        self.identity = {
            "method": method, "seed": seed, "learning": vars(learning), "likelihood": repr(self.likelihood),
            "names": self.layout.names, "data": _digest([self.inputs, *self.validation]),
        }  # fmt: skip

    def prune(
        self,
        sparsity: float,
        *,
        steps: int = 15,
        schedule: Literal["geometric", "cubic"] = "geometric",
        pattern: str = "unstructured",
        scope: Literal["global", "layer"] = "global",
        gammas: Sequence[float] = (1e-2, 1e-3, 1e-4, 1e-5),
        solver: Solver = SOLVER,
        checkpoint: str | Path | None = None,
        report: Callable[[dict], None] = lambda row: None,
    ) -> Pruned:
        """Remove ``floor(sparsity * d)`` of the d prunable weights of the model, in place; recalibrate its batch norms.

        Args:
            steps: removals, each followed by compensation; 1 is one-shot. N:M patterns take as many as M - N at most.
            schedule: ``geometric`` density or ``cubic`` sparsity.
            pattern: ``unstructured``, ``block-SIZE``, ``N:M`` or ``channels``.
            scope: rank over all layers, or the same sparsity in each ``layer``.
            gammas: dampings to try on the validation inputs; the one with the least loss is taken.
            solver: of the joint compensation.
            checkpoint: file to keep progress in and to resume from.
            report: called with a row after each step.

        Raises:
            ValueError: the sparsity is out of (0, 1), or the pattern cannot have it.
        """
        if not 0 < sparsity < 1:
            raise ValueError(f"sparsity should lie between 0 and 1, not {sparsity}")
        surgery = Surgery(
            self.method.ranking,
            self.method.compensation,
            self.method.refine_every,
            solver,
            parse_pattern(pattern),
            scope,
        )
        check(self.layout, surgery.pattern, sparsity)
        path = {"geometric": geometric_steps, "cubic": cubic_steps}[schedule](sparsity, steps)

        def operation(model: nn.Module, gamma: float, trial: bool = True) -> Operation:
            return Operation(model, self.layout, self.estimators(gamma, trial), surgery)

        work = {"path": path, "pattern": pattern, "scope": scope, "solver": vars(solver), "gammas": list(gammas)}
        network = {"network": _digest(self.model.state_dict().values())}
        progress = Checkpoint(checkpoint, self.identity | work | network)
        saved = progress.load()
        losses = saved[1]["notes"] if saved else self._losses(gammas, operation, path)
        gamma = float(min(losses, key=losses.get))
        final = operation(self.model, gamma, False)
        judge = "validation_loss_without_recalibration", self._loss
        history = follow(final, path, judge, progress, losses, report)
        recalibrate_batch_norm(self.model, self.inputs.split(250))
        progress.remove()
        return Pruned(final.masks, gamma, losses, history)

    def _losses(self, gammas: Sequence[float], operation, path: list[float]) -> dict[str, float]:
        if len(gammas) == 1:
            return {str(gammas[0]): 0.0}
        scores = score_dampings(
            self.model, gammas, operation, path, lambda model: -self._loss(recalibrated(model, self.inputs))
        )
        return {gamma: -score for gamma, score in scores.items()}

    @torch.no_grad()
    def _loss(self, model: nn.Module) -> float:
        """Mean loss on the validation inputs in eval mode."""
        training = model.training
        model.eval()
        pairs = zip(*(part.split(250) for part in self.validation), strict=True)
        total = sum(self.likelihood.loss(model(x).flatten(1), y).item() for x, y in pairs)
        model.train(training)
        return total / len(self.validation[0])


def _digest(tensors: Iterable[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _collect(loader: Iterable[tuple[Tensor, Tensor]], images: int) -> tuple[Tensor, Tensor]:
    """The loader's first ``images`` inputs and targets."""
    inputs, targets, count = [], [], 0
    for x, y in loader:
        inputs.append(x)
        targets.append(y)
        count += len(x)
        if count >= images:
            break
    if count < 8:
        raise ValueError(f"the loader gave {count} inputs; at least 8 are needed, better 1000")
    return torch.cat(inputs)[:images], torch.cat(targets)[:images]
