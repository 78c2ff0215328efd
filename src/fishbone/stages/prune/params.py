"""Parameters of the stage `prune`; the names of its methods are those of `fishbone.pruning.methods`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from fishbone.fields import Distinct, Fraction, Name, Seed, Threads
from fishbone.parameters import Block
from fishbone.pruning.methods import METHODS, VARIANTS

NAMES = (*METHODS, *VARIANTS)
MethodName = Literal[NAMES]  # type: ignore[valid-type]  # made from the table, so that each name is written once


def _ascending(values: list[float]) -> list[float]:
    if values != sorted(values):
        raise ValueError("sparsities should ascend")
    return values


Sparsities = Annotated[Distinct[Fraction], Field(min_length=1), AfterValidator(_ascending)]


class Fls(Block):
    """FishLeg surgeon: the inverse is learnt."""

    form: Literal["outer", "inner", "three_way"] = Field(
        description="outer: D(R'R x L'L)D; inner: diagonal inside the bases; three_way: inner, with three bases"
    )
    start: Literal["isotropic", "diagonal", "activations", "rows"] = Field(
        description="I/gamma, 1/(diag F + gamma), or the closed form in eigenbases of activations or of gradient rows"
    )
    first_steps: int = Field(description="Adam steps on the dense network; 0: the closed-form start only", ge=0)
    later_steps: int = Field(description="Adam steps of each later refinement, going on from the last", ge=0)
    learning_rate: float = Field(description="Adam's, relative to a factor's mean entry; falls to 0", gt=0)
    directions: int = Field(description="random directions in an Adam step", ge=1)
    drawn_from: Literal["noise", "gradients"] = Field(
        description="noise: Gaussian directions; gradients: random sums of the step's gradients"
    )
    batch: int = Field(description="images in an Adam step", ge=1)
    held_out: int = Field(
        description="curvature images kept apart: a layer that gets worse on them is put back; 0: none", ge=0
    )
    precondition: bool = Field(description="multiply the residual by the inverse learnt so far")
    weights: Literal["active", "all"] = Field(
        description="later refinements fit the active weights only, or all (restricted exactly when compensating)"
    )
    renew: bool = Field(description="later refinements start again from the closed form")


class Retraining(Block):
    """Training of the weights that are left, after each step of the gradual methods; the others never train."""

    steps_per_halving: int = Field(description="pruning steps while the density halves", ge=1)
    epochs: int = Field(description="passes over the training split after each step", ge=1)
    batch: int = Field(description="images in a step", ge=2)
    learning_rate: float = Field(description="peak of each one-cycle schedule", gt=0)
    warmup: float = Field(description="fraction of the steps in which the rate rises", gt=0, lt=1)
    momentum: float = Field(description="Nesterov momentum", gt=0, lt=1)
    weight_decay: float = Field(description="L2 penalty", ge=0)
    precision: Literal["auto", "bf16", "fp32"] = Field(description="auto: bf16 where it is faster than fp32")
    device: Literal["auto", "cpu", "cuda"] = Field(description="auto: the GPU if there is one")


class Params(Block):
    """What one job is given."""

    sparsities: Sparsities = Field(description="fractions of the prunable weights to remove")
    steps_per_halving: int = Field(description="pruning steps while the density halves", ge=1)
    scope: Literal["global", "layer"] = Field(description="rank over all layers, or the same sparsity in each")
    gammas: Distinct[Annotated[float, Field(gt=0)]] = Field(
        description="dampings to choose from on validation images, the same for every method", min_length=1
    )
    tuning_sparsities: Sparsities = Field(
        description="steps of the trajectory, without learning, that judges a damping"
    )
    draw: Literal["stratified", "as_recorded"] = Field(
        description="of curvature, recalibration and judging images; stratified: of each class its share; "
        "as_recorded: of training images any, without regard to the class, of validation images the first N, as in "
        "records made before there was a choice"
    )
    judging_images: int = Field(description="validation images that judge dampings and steps", ge=1)
    curvature_images: int = Field(description="training images for the Fisher matrix, the same for every method", ge=2)
    fisher: Literal["exact", "signs", "labels"] = Field(
        description="exact: a row a class; signs: one random row an image; labels: the empirical matrix"
    )
    temperature: float = Field(
        description="of the softmax in the Fisher matrix; 1: exact; more counts images that the network is sure of",
        gt=0,
    )
    recalibration_images: int = Field(description="training images for batch-norm statistics", ge=1)
    padding: int = Field(description="random crops of these images shift by up to this; as in training", ge=0)
    flip: bool = Field(description="mirror these images at random; as in training")
    precision: Literal["auto", "bf16", "fp32"] = Field(
        description="of judging dampings and steps; auto: bf16 where it is faster. Test accuracy is always in fp32"
    )
    solver_iterations: int = Field(description="most conjugate-gradient iterations of a compensation", ge=1)
    solver_tolerance: float = Field(description="relative residual at which they stop", gt=0, lt=1)
    block: int = Field(description="consecutive weights whose Fisher block obs and chita invert", ge=1)
    fls: Fls
    retraining: Retraining
    threads: Threads = Field(description="threads of one job; other numbers give other last bits")


class Plan(Params):
    """What a study runs: a job for each data set, method and seed."""

    datasets: Distinct[Name] = Field(description="data sets whose trained networks are pruned", min_length=1)
    methods: Distinct[MethodName] = Field(description="one job each", min_length=1)
    seeds: Distinct[Seed] = Field(
        description="one job each: the seed of the trained network and of the images", min_length=1
    )
