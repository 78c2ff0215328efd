"""Pruning any network in a few lines: ``Surgeon(model, loader, "softmax").prune(0.9)``."""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fishbone.curvature.drift import Drift
from fishbone.curvature.gradients import Gradients
from fishbone.curvature.layout import Layout, prunable
from fishbone.curvature.learning import Learning
from fishbone.curvature.likelihoods import LIKELIHOODS, Likelihood
from fishbone.errors import ArgumentError
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.evaluate import evaluating
from fishbone.nn.memory_format import arranged, memory_format
from fishbone.pruning.compensation import Solver
from fishbone.pruning.defaults import LEARNING, SOLVER
from fishbone.pruning.estimators import EstimatorFactory
from fishbone.pruning.factory import PrunerFactory
from fishbone.pruning.images import recalibrate, recalibrated
from fishbone.pruning.loading import collect, mixed, require_shuffled
from fishbone.pruning.masks import cubic_steps, geometric_steps
from fishbone.pruning.methods import METHODS
from fishbone.pruning.patterns import check, parse_pattern
from fishbone.pruning.pruner import Surgery
from fishbone.pruning.trajectory import follow, saved, score_dampings

SCHEDULES = {"geometric": geometric_steps, "cubic": cubic_steps}
SCOPES = ("global", "layer")


@dataclass(frozen=True)
class Pruned:
    """What pruning a network came to.

    Attributes:
        masks: by name of the weight, in its shape, True for weights that are left.
        gamma: the damping chosen; None of methods that have none.
        validation_loss: mean loss over the steps with every damping tried, in nats, by the damping's text; empty if
            there was no choice.
        history: a row a step; see `fishbone.pruning.trajectory.follow`.
    """

    masks: dict[str, Tensor]
    gamma: float | None
    validation_loss: dict[str, float]
    history: list[dict[str, Any]]


class Surgeon:
    """Prunes a trained network, without retraining it.

    Examples:
        >>> import torch
        >>> draws = torch.Generator().manual_seed(0)
        >>> x, labels = torch.randn(64, 4, generator=draws), torch.arange(64) % 2
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 2))
        >>> pruned = Surgeon(model, [(x, labels)], "softmax").prune(0.75, steps=3)
        >>> list(pruned.masks), int(pruned.masks["1.weight"].sum())
        (['1.weight'], 16)
        >>> bool((model[1].weight[~pruned.masks["1.weight"]] == 0).all())
        True

    Args:
        model: trained, on the CPU, float32 or float64; any module with Conv2d and Linear layers. Left as it is until
            `prune` is called.
        loader: batches (inputs, targets) of *training* data, shuffled, and augmented as in training; read until there
            are enough: of data sorted by class that would be the first classes only.
        likelihood: what the network's outputs mean: ``softmax`` (targets int64), ``gaussian`` or ``bernoulli``, or an
            object like those in `fishbone.curvature.likelihoods`.
        method: how to estimate, rank and compensate; a name in `fishbone.pruning.methods.METHODS`.
        images: number of inputs to read, for curvature and batch norms.
        validation: inputs and targets that choose the damping; None draws a quarter of ``images`` for it, of each class
            its share, which are then held out of the curvature (but were trained on).
        names: weights to prune, such as ``layer1.conv2.weight``; see `fishbone.curvature.layout.prunable`.
        learning: how FishLeg learns; as it comes it stays at its closed form, which learning hardly improves.
        seed: decides all random draws; the same seed gives the same network.

    Raises:
        ArgumentError: names what cannot be pruned or what argument is wrong.
        InputError: the loader is not shuffled: what was read of it lacks classes.
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
    ) -> None:
        for what, name, known in (("method", method, METHODS), ("likelihood", likelihood, LIKELIHOODS)):
            if isinstance(name, str):
                _known(what, name, known)
        self.model, self.method = model, METHODS[method]
        self.likelihood = LIKELIHOODS[likelihood] if isinstance(likelihood, str) else likelihood
        self.layout = Layout.of(model, prunable(model, names))
        _check_tensors(model)
        read, more = collect(loader, images)
        inputs, targets = mixed(*read, seed)
        if memory_format(model) is torch.contiguous_format:  # though its owner may have it in channels_last
            inputs = arranged(inputs, model.to(memory_format=torch.contiguous_format))  # type: ignore[call-overload]
        held = 0 if validation is not None else len(inputs) // 4
        if validation is not None and not len(validation[0]) == len(validation[1]) > 0:
            sizes = " and ".join(str(len(part)) for part in validation)
            raise ArgumentError(f"validation should be as many inputs as targets, at least one, not {sizes}")
        self.validation = (inputs[:held], targets[:held]) if validation is None else validation
        self.inputs = inputs[held:]
        require_shuffled(targets, self._check_outputs(), more)
        if learning.held_out >= len(self.inputs):
            raise ArgumentError(f"learning.held_out is {learning.held_out}, but there are {len(self.inputs)} inputs")
        self.gradients = Gradients(self.layout, self.inputs, "signs", self.likelihood, targets[held:], seed)
        self.estimators = EstimatorFactory(self.method, self.gradients, block=64, learning=learning, seed=seed)
        self.identity: dict[str, Any] = {
            "method": method, "seed": seed, "learning": vars(learning), "likelihood": repr(self.likelihood),
            "names": self.layout.names, "data": _digest([self.inputs, targets[held:], *self.validation]),
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
        report: Callable[[dict[str, Any]], None] = lambda row: None,
    ) -> Pruned:
        """Remove a fraction of the d prunable weights of the model, in place, and recalibrate its batch norms.

        Unstructured that is ``floor(sparsity * d)`` of them, exactly. Blocks and channels go as long as it is not
        exceeded, and of N:M groups each loses ``floor(sparsity * M)``.

        Args:
            sparsity: fraction of the prunable weights to remove, in (0, 1).
            steps: removals, each followed by compensation; 1 is one-shot. N:M patterns take as many as M - N at most.
            schedule: ``geometric`` density or ``cubic`` sparsity.
            pattern: ``unstructured``, ``block-SIZE``, ``N:M`` or ``channels``.
            scope: rank over all layers, or the same sparsity in each ``layer``.
            gammas: dampings to try on the validation inputs; the one with the least loss is taken. One alone is taken
                as it is.
            solver: when the joint compensation's solver stops.
            checkpoint: file to keep progress in and to resume from. It stays, so that nothing is lost if what comes
                next fails: remove it when the pruned network is saved.
            report: called with a row after each step.

        Raises:
            ArgumentError: names what is wrong: an argument; more zeros in the network than asked for; a pattern that
                cannot have this sparsity; or no damping led to a finite loss, and the model is as it was.
            InputError: the damping chosen led to a network that is not finite; the model's weights are of no use.
        """
        if not 0 < sparsity < 1:
            raise ArgumentError(f"sparsity should lie between 0 and 1, not {sparsity}")
        _known("schedule", schedule, SCHEDULES)
        _known("scope", scope, SCOPES)
        if steps < 1:
            raise ArgumentError(f"steps should be at least 1, not {steps}")
        if not gammas or not all(gamma > 0 for gamma in gammas):
            raise ArgumentError(f"gammas should be dampings above 0, at least one, not {gammas}")
        if checkpoint and " at 0x" in self.identity["likelihood"]:
            kind = type(self.likelihood).__name__
            raise ArgumentError(f"to resume, {kind} needs a __repr__ that tells its parameters: make it a dataclass")
        zeros = (self.layout.read(self.model) == 0).double().mean().item()
        if zeros > sparsity:
            raise ArgumentError(f"sparsity {sparsity} is below the {zeros:.4f} that the network has already")
        surgery = Surgery(
            self.method.ranking,
            self.method.compensation,
            self.method.refine_every,
            solver,
            parse_pattern(pattern),
            scope,
        )
        check(self.layout, surgery.pattern, sparsity)
        path = SCHEDULES[schedule](sparsity, steps)

        drift = Drift(self.gradients, self.model) if self.method.first_order else None
        factory = PrunerFactory(self.layout, self.estimators, surgery, drift)

        work = {"path": path, "pattern": pattern, "scope": scope, "solver": vars(solver), "gammas": list(gammas)}
        network = {"network": _digest(self.model.state_dict().values())}
        progress = Checkpoint(checkpoint, self.identity | work | network)
        resumed = saved(progress)
        losses = resumed.notes if resumed else self._losses(gammas, factory, path)
        gamma = float(min(losses, key=losses.__getitem__)) if losses else float(gammas[0])
        final = factory.final(self.model, gamma)
        judge = "validation_loss_without_recalibration", self._loss
        history = follow(final, path, judge, progress, losses, report)
        recalibrate(self.model, self.inputs)
        return Pruned(final.masks, gamma if self.method.damped else None, losses, history)

    def _losses(self, gammas: Sequence[float], factory: PrunerFactory, path: list[float]) -> dict[str, float]:
        """Mean validation loss with each damping, by its text; empty if there is no choice."""
        if len(gammas) == 1 or not self.method.damped:
            return {}
        scores = score_dampings(
            self.model, gammas, factory.trial, path, lambda model: -self._loss(recalibrated(model, self.inputs))
        )
        if not math.isfinite(max(scores.values())):
            raise ArgumentError(f"none of the dampings {', '.join(scores)} led to a finite loss: give greater ones")
        return {gamma: -score for gamma, score in scores.items()}

    @torch.no_grad()
    def _check_outputs(self) -> int:
        """How many there are of one input."""
        inputs, targets = (part[:2] for part in self.validation)
        try:
            with evaluating(self.model):
                outputs = self.model(inputs)
            self.likelihood.loss(outputs.flatten(1), targets)
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
            found = f"inputs {_kind(inputs)}, targets {_kind(targets)}"
            raise ArgumentError(
                f"network, data and likelihood {self.likelihood} do not fit ({found}): {error}"
            ) from None
        return int(outputs.flatten(1).shape[1])

    @torch.no_grad()
    def _loss(self, model: nn.Module) -> float:
        """Mean loss on the validation inputs in eval mode."""
        with evaluating(model):
            pairs = zip(*(part.split(250) for part in self.validation), strict=True)
            total = sum(self.likelihood.loss(model(x).flatten(1), y).item() for x, y in pairs)
        return total / len(self.validation[0])


def _kind(tensor: Tensor) -> str:
    return f"{tensor.dtype} {tuple(tensor.shape)}".removeprefix("torch.")


def _known(what: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise ArgumentError(f"unknown {what} {name!r}: give one of {', '.join(known)}")


def _check_tensors(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            raise ArgumentError(f"{name} holds values that are not finite")
        if parameter.device.type != "cpu" or parameter.dtype not in (torch.float32, torch.float64):
            found = f"{parameter.dtype} on {parameter.device}"
            raise ArgumentError(
                f"{name} is {found}: move the network to the CPU as float32, for example with .cpu().float()"
            )


def _digest(tensors: Iterable[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
