"""``fishbone prune``: a trained network pruned to several sparsities on one trajectory, without retraining.

Writes, for each sparsity, the network with recalibrated batch norms and its mask; then metrics and history.
"""

import functools
from pathlib import Path
from typing import Annotated, Literal, get_args

import click
from pydantic import AfterValidator, Field

from fishbone.parameters import Block, params_option

Method = Literal["fls", "obs", "magnitude"]


def _ascending(values: list[float]) -> list[float]:
    if values != sorted(set(values)):
        raise ValueError("sparsities should ascend, each once")
    return values


Sparsity = Annotated[float, Field(gt=0, lt=1)]
Sparsities = Annotated[list[Sparsity], Field(min_length=1), AfterValidator(_ascending)]


class Obs(Block):
    """Block-diagonal empirical Fisher matrix (WoodFisher, oBERT)."""

    block: int = Field(description="consecutive weights whose Fisher block is inverted", ge=1)
    refine_every: int = Field(description="steps from one new Fisher matrix to the next", ge=1)


class Fls(Block):
    """FishLeg surgeon: the inverse is learnt."""

    refine_every: int = Field(description="steps from one refinement of the learnt inverse to the next", ge=1)
    first_steps: int = Field(description="Adam steps on the dense network; 0: the closed-form start only", ge=0)
    later_steps: int = Field(description="Adam steps of each later refinement, going on from the last", ge=0)
    learning_rate: float = Field(description="Adam's, relative to a factor's mean entry; falls to 0", gt=0)
    directions: int = Field(description="Gaussian directions in an Adam step", ge=1)
    batch: int = Field(description="images in an Adam step", ge=1)
    held_out: int = Field(description="curvature images kept apart: a layer that gets worse on them is put back", ge=1)
    precondition: bool = Field(description="multiply the residual by the inverse learnt so far")
    weights: Literal["active", "all"] = Field(
        description="later refinements fit the active weights only, or all (restricted exactly when compensating)"
    )


class Params(Block):
    sparsities: Sparsities = Field(description="fractions of the prunable weights to remove")
    steps_per_halving: int = Field(description="pruning steps while the density halves", ge=1)
    gammas: list[Annotated[float, Field(gt=0)]] = Field(
        description="dampings to choose from on validation images, the same for every method", min_length=1
    )
    tuning_sparsities: Sparsities = Field(
        description="steps of the trajectory, without learning, that judges a damping"
    )
    curvature_images: int = Field(description="training images for the Fisher matrix, the same for every method", ge=2)
    recalibration_images: int = Field(description="training images for batch-norm statistics", ge=1)
    padding: int = Field(description="random crops of these images shift by up to this; as in training", ge=0)
    flip: bool = Field(description="mirror these images at random; as in training")
    solver_iterations: int = Field(description="most conjugate-gradient iterations of a compensation", ge=1)
    solver_tolerance: float = Field(description="relative residual at which they stop", gt=0, lt=1)
    obs: Obs
    fls: Fls
    threads: int = Field(description="threads of one job; other numbers give other last bits", ge=1)


class Plan(Params):
    datasets: list[str] = Field(description="data sets whose trained networks are pruned", min_length=1)
    methods: list[Method] = Field(description="one job each", min_length=1)
    seeds: list[int] = Field(
        description="one job each: the seed of the trained network and of the images", min_length=1
    )


@click.command(
    epilog="Example: fishbone prune --method fls --model run/model.safetensors --data digits.npz --seed 0"
    ' --params "$(fishbone params prune)" --out pruned'
)
@click.option("--method", required=True, type=click.Choice(get_args(Method)), help="How to rank and compensate.")
@click.option("--model", required=True, type=click.Path(path_type=Path), help="Weights made by `fishbone train`.")
@click.option(
    "--data", required=True, type=click.Path(path_type=Path), help="Data set that the network was trained on."
)
@click.option("--seed", required=True, type=int, help="Seed of the curvature images and directions.")
@params_option(Params)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Keep progress here and resume from it.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
def command(
    method: Method, model: Path, data: Path, seed: int, params: Params, checkpoint: Path | None, out: Path
) -> None:
    """Prune all inner convolutions and linear layers, ranked globally; no weight is retrained."""
    import torch

    from fishbone.data.dataset import load_dataset
    from fishbone.files import sha256, write_history, write_json
    from fishbone.nn.checkpoint import Checkpoint
    from fishbone.nn.evaluate import evaluate
    from fishbone.nn.models import load_model
    from fishbone.pruning.images import draw, recalibrated
    from fishbone.pruning.masks import density_steps
    from fishbone.pruning.trajectory import follow, score_dampings

    torch.set_num_threads(params.threads)
    dataset = load_dataset(data)
    network, description = load_model(model)
    _check(params, dataset, description, data)
    parent = sha256(model)
    work = {"method": method, "params": params.model_dump(), "data": dataset.digest, "model": parent, "seed": seed}
    progress = Checkpoint(checkpoint, work)
    images = functools.partial(draw, dataset, padding=params.padding, flip=params.flip, seed=seed)
    surgeon = _surgeons(method, params, network, *images(params.curvature_images, "curvature"), seed)
    recalibrate = functools.partial(recalibrated, inputs=images(params.recalibration_images, "recalibration")[0])

    def accuracy(pruned, split: str) -> float:
        return evaluate(pruned, *dataset.split(split))["accuracy"]

    def tune() -> dict[str, float]:
        gammas = [] if method == "magnitude" else params.gammas
        trial = functools.partial(surgeon, trial=True)
        return score_dampings(
            network, gammas, trial, params.tuning_sparsities, lambda net: accuracy(recalibrate(net), "validation")
        )

    saved = progress.load()
    scores = saved[1]["notes"] if saved else tune()
    chosen = {} if method == "magnitude" else {"gamma": float(max(scores, key=scores.get))}
    metrics = chosen | {f"validation_accuracy_by_gamma/{gamma}": score for gamma, score in scores.items()}
    metrics["dense_test_accuracy"] = accuracy(network, "test")
    final = surgeon(network, **chosen)
    steps = density_steps(params.sparsities, params.steps_per_halving)
    kept, history = follow(
        final, steps, params.sparsities, lambda net: accuracy(net, "validation"), progress, scores, _print
    )
    for sparsity, pruned in kept.items():
        final.layout.write(network, pruned.weights)
        whole = recalibrate(network)
        _write(out, sparsity, whole, final.layout.tensors(pruned.mask), description | {"parent": parent})
        metrics |= _counts(sparsity, network, pruned.mask) | {
            f"test_accuracy/{sparsity}": accuracy(whole, "test"),
            f"test_accuracy_without_recalibration/{sparsity}": accuracy(network, "test"),
            f"validation_accuracy/{sparsity}": accuracy(whole, "validation"),
        }
    metrics |= {key: value for key, value in history[0].items() if key.startswith("auxiliary_loss")}
    write_history(out / "history.csv", history)
    write_json(out / "metrics.json", metrics)
    progress.remove()


def _surgeons(method: Method, params: Params, network, inputs, labels, seed: int):
    """(network, damping) → surgeon; a trial keeps FishLeg's first curvature throughout."""
    from fishbone.curvature.layout import Layout, prunable
    from fishbone.curvature.learning import Learning
    from fishbone.pruning.compensation import Solver
    from fishbone.pruning.methods import estimators
    from fishbone.pruning.surgeon import Surgeon

    layout = Layout.of(network, prunable(network))
    learning = Learning(**params.fls.model_dump(exclude={"refine_every"}))
    make = estimators(method, layout, inputs, labels, block=params.obs.block, learning=learning, seed=seed)
    solver = Solver(params.solver_iterations, params.solver_tolerance)
    refine_every = {"fls": params.fls.refine_every, "obs": params.obs.refine_every, "magnitude": 1}[method]

    def surgeon(model, gamma: float = 0.0, trial: bool = False) -> Surgeon:
        every = len(params.tuning_sparsities) if trial and method == "fls" else refine_every
        return Surgeon(model, layout, make(gamma, trial), solver, every)

    return surgeon


def _check(params: Params, dataset, description: dict, file: Path) -> None:
    from fishbone.errors import InputError

    if description["data"]["sha256"] != dataset.digest:
        remedy = f"Give {description['data']['name']}.npz as it was then, or train again."
        raise InputError("the network was trained on other data", file=file, remedy=remedy)
    for field, value, most in (
        ("curvature_images", params.curvature_images, len(dataset.train)),
        ("recalibration_images", params.recalibration_images, len(dataset.train)),
        ("fls.held_out", params.fls.held_out, params.curvature_images - 1),
    ):
        if value > most:
            raise InputError("more images than there are", field=field, value=value, remedy=f"Give at most {most}.")


def _counts(sparsity: float, network, mask) -> dict[str, float]:
    """The sparsity reached, exactly: over the prunable weights and over all parameters."""
    gone = int((~mask).sum())
    everything = sum(parameter.numel() for parameter in network.parameters())
    return {f"sparsity/{sparsity}": gone / len(mask), f"sparsity_of_all_parameters/{sparsity}": gone / everything}


def _write(out: Path, sparsity: float, network, masks: dict, description: dict) -> None:
    """The network, its sidecar and the mask by weight name (True: kept)."""
    from fishbone.files import write_tensors
    from fishbone.nn.models import save_model

    save_model(out / f"{sparsity}.safetensors", network, description)
    write_tensors(out / f"{sparsity}.mask.safetensors", masks)


def _print(row: dict) -> None:
    shown = f"step {row['step']}: sparsity {row['sparsity']:.4f}"
    click.echo(f"{shown}, validation accuracy {row['validation_accuracy_without_recalibration']:.4f} as it stands")
