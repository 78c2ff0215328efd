"""What a job of the stage `prune` works on, and what it makes of that."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fishbone.curvature.drift import Drift
from fishbone.curvature.gradients import Gradients
from fishbone.curvature.layout import Layout, prunable
from fishbone.curvature.learning import Learning
from fishbone.curvature.likelihoods import Softmax
from fishbone.data.dataset import Dataset, load_dataset
from fishbone.errors import InputError
from fishbone.files import sha256
from fishbone.nn.divergence import is_finite
from fishbone.nn.models import load_model
from fishbone.nn.sidecar import Sidecar
from fishbone.nn.train import Recipe
from fishbone.pruning.compensation import Solver
from fishbone.pruning.estimators import EstimatorFactory
from fishbone.pruning.factory import PrunerFactory
from fishbone.pruning.images import draw
from fishbone.pruning.judge import Judge
from fishbone.pruning.masks import density_steps
from fishbone.pruning.methods import METHODS, VARIANTS, Method
from fishbone.pruning.pruner import Surgery
from fishbone.pruning.retraining import Retraining
from fishbone.stages.prune.params import Params


@dataclass(frozen=True)
class Task:
    """What the job works on, read and checked.

    Attributes:
        name: the method's, in `fishbone.pruning.methods`.
        method: what that name stands for.
        params: the stage's block of parameters.
        seed: decides the curvature images and directions.
        dataset: what the network was trained on.
        network: the trained network, to be pruned.
        sidecar: what describes the trained network.
        parent: SHA-256 of its file.
    """

    name: str
    method: Method
    params: Params
    seed: int
    dataset: Dataset
    network: nn.Module
    sidecar: Sidecar
    parent: str

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint of this job belongs to."""
        work = {"method": self.name, "params": self.params.model_dump(), "data": self.dataset.digest}
        return work | {"model": self.parent, "seed": self.seed}

    @property
    def steps(self) -> list[float]:
        """The sparsities to visit in turn."""
        pace = self.params.retraining if self.method.retrained else self.params
        return density_steps(self.params.sparsities, pace.steps_per_halving)

    def images(self, count: int, purpose: str) -> tuple[Tensor, Tensor]:
        """``count`` training images as in training, (N, C, H, W), and labels (N,); ``purpose`` decides which."""
        params = self.params
        return draw(
            self.dataset, count, purpose, padding=params.padding, flip=params.flip, seed=self.seed, drawn=params.draw
        )

    def gradients(self) -> Gradients:
        """Make the gradient rows of the method's share of the curvature images."""
        params, method = self.params, self.method
        inputs, labels = self.images(params.curvature_images, "curvature")
        count = round(method.share * len(inputs))
        softmax = Softmax(params.temperature if method.tempered else 1.0)
        layout = Layout.of(self.network, prunable(self.network))
        return Gradients(layout, inputs[:count], params.fisher, softmax, labels[:count], self.seed)

    def factory(self, gradients: Gradients) -> PrunerFactory:
        """Make the factory of the method's pruners, from the `gradients`."""
        params, method = self.params, self.method
        fls = params.fls.model_dump()
        learning = Learning(**fls | {"held_out": round(method.share * fls["held_out"])})
        estimators = EstimatorFactory(method, gradients, block=params.block, learning=learning, seed=self.seed)
        solver = Solver(params.solver_iterations, params.solver_tolerance)
        surgery = Surgery(method.ranking, method.compensation, method.refine_every, solver, scope=params.scope)
        drift = Drift(gradients, self.network) if method.first_order else None
        return PrunerFactory(gradients.layout, estimators, surgery, drift)

    def judge(self) -> Judge:
        """Make what networks are judged by."""
        params = self.params
        recalibration, _ = self.images(params.recalibration_images, "recalibration")
        return Judge.of(
            self.dataset, recalibration, images=params.judging_images, drawn=params.draw, precision=params.precision,
            seed=self.seed,
        )  # fmt: skip

    def retraining(self) -> Retraining:
        """Make what trains the weights that are left, after each step of a method that does."""
        params, dataset = self.params, self.dataset
        chosen = params.retraining.model_dump(exclude={"steps_per_halving"})
        recipe = Recipe(
            **chosen, early_epochs=0, early_size=dataset.shape[-1], padding=params.padding, flip=params.flip
        )
        return Retraining(dataset.split("train"), dataset.split("validation"), recipe, self.seed)


def read_task(name: str, model: Path, data: Path, seed: int, params: Params) -> Task:
    """Read what the job works on, and check it.

    Args:
        name: the method's, a key of `fishbone.pruning.methods.METHODS`.
        model: weights, with their sidecar beside them.
        data: what they were trained on.
        seed: decides the curvature images and directions.
        params: the stage's block of parameters.

    Raises:
        InputError: model, data and parameters do not fit, and names the field; or the network is not finite.
    """
    dataset = load_dataset(data)
    network, sidecar = load_model(model)
    method = (METHODS | VARIANTS)[name]
    sidecar.check_data(dataset, model)
    _check(params, method, dataset)
    if not is_finite(network):
        raise InputError("holds weights that are not finite", file=model, remedy="Train it again.")
    return Task(name, method, params, seed, dataset, network, sidecar, sha256(model))


def _check(params: Params, method: Method, dataset: Dataset) -> None:
    if params.fisher == "labels" and params.temperature != 1:
        remedy = "Set temperature to 1, or fisher to exact or signs."
        raise InputError(
            "the empirical matrix has no temperature", field="temperature", value=params.temperature, remedy=remedy
        )
    fls = params.fls.model_dump() | dict(method.changes)
    if method.estimator == "fishleg" and method.refine_every == 1 and not (fls["renew"] or fls["later_steps"]):
        raise InputError("this method goes on learning", field="fls.later_steps", value=0, remedy="Give 1 or more.")
    if not fls["precondition"] and not fls["first_steps"]:
        raise InputError("this method learns", field="fls.first_steps", value=0, remedy="Give 1 or more.")
    for field, value, most in (
        ("curvature_images", params.curvature_images, len(dataset.train)),
        ("recalibration_images", params.recalibration_images, len(dataset.train)),
        ("judging_images", params.judging_images, len(dataset.validation)),
        ("fls.held_out", params.fls.held_out, int((round(method.share * params.curvature_images) - 1) / method.share)),
    ):
        if value > most:
            raise InputError("more images than there are", field=field, value=value, remedy=f"Give at most {most}.")
