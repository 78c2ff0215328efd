"""``fishbone prune``: a trained network pruned to several sparsities on one trajectory.

Writes, for each sparsity, the network with recalibrated batch norms and its mask; then metrics, history and cost.
"""

import copy
import functools
import math
import shutil
import time
from pathlib import Path
from typing import get_args

import click

from fishbone.stages.prune_plan import Method, Params
from fishbone.stages.prune_plan import Plan as Plan  # the workflow looks for it here

MASK = "mask"  # beside the network's own tensors, in the copies kept on the way


@click.command(
    epilog="Examples: fishbone prune --method fls --model run/model.safetensors --data digits.npz --seed 0"
    ' --params "$(fishbone params prune)" --out pruned; fishbone prune --model-file net.py:make_net --weights'
    " net.safetensors --data digits.npz --sparsity 0.9 --out pruned"
)
@click.option(
    "--method",
    type=click.Choice(get_args(Method)),
    default="fls",
    show_default=True,
    help="How to rank and compensate.",
)
@click.option("--model", type=click.Path(path_type=Path), help="Weights made by `fishbone train`; needs --params.")
@click.option("--model-file", metavar="FILE.py:FUNCTION", help="Any other network: the function that makes it.")
@click.option("--weights", type=click.Path(path_type=Path), help="With --model-file: the network's .safetensors.")
@click.option(
    "--sparsity",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="With --model-file: fraction of the prunable weights to remove.",
)
@click.option("--pattern", help="With --model-file: unstructured (if not given), block-4, 2:4 or channels.")
@click.option(
    "--padding", type=click.IntRange(0), help="With --model-file: crops as in training, in pixels; 0 if not given."
)
@click.option(
    "--flip", is_flag=True, default=None, help="With --model-file: the network was trained on mirrored images too."
)
@click.option(
    "--temperature",
    type=click.FloatRange(0, min_open=True),
    help="With --model-file: of the softmax in the Fisher matrix; about 30 for a network that fits its training data,"
    " 1 if not given.",
)
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Data set the network was trained on.")
@click.option("--seed", default=0, show_default=True, type=int, help="Seed of the curvature images and directions.")
@click.option(
    "--params",
    metavar="JSON",
    callback=lambda context, option, text: None if text is None else Params.parse(text, file="--params"),
    help="With --model: the stage's parameter block; `fishbone params prune` prints one.",
)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Keep progress here and resume from it.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
def command(
    method: Method,
    model: Path | None,
    model_file: str | None,
    weights: Path | None,
    sparsity: float | None,
    pattern: str | None,
    padding: int | None,
    flip: bool | None,
    temperature: float | None,
    data: Path,
    seed: int,
    params: Params | None,
    checkpoint: Path | None,
    out: Path,
) -> None:
    """Prune all inner convolutions and linear layers of a trained network."""
    options = {"pattern": pattern, "padding": padding, "flip": flip, "temperature": temperature}
    if model_file:
        _needed("--model-file", **{"--weights": weights, "--sparsity": sparsity})
        _unused("--model-file", **{"--model": model, "--params": params})
        from fishbone.pruning.foreign import prune_file

        options = {name: value for name, value in options.items() if value is not None}
        options |= {"seed": seed, "checkpoint": checkpoint}
        metrics = prune_file(model_file, weights, data, method, sparsity, out, report=_print, **options)
        click.echo(f"test accuracy {metrics['dense_test_accuracy']:.4f} dense, {metrics['test_accuracy']:.4f} pruned")
    else:
        _needed("a network made by `fishbone train`", **{"--model": model, "--params": params})
        others = {f"--{name}": value for name, value in options.items()}
        _unused("--model", **{"--weights": weights, "--sparsity": sparsity} | others)
        _prune(method, model, data, seed, params, checkpoint, out)


def _needed(purpose: str, **options) -> None:
    missing = [name for name, value in options.items() if value is None]
    if missing:
        raise click.UsageError(f"{purpose} needs {' and '.join(missing)}")


def _unused(purpose: str, **options) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise click.UsageError(f"{purpose} and {' and '.join(given)} exclude each other")


def _prune(
    method: Method, model: Path, data: Path, seed: int, params: Params, checkpoint: Path | None, out: Path
) -> None:
    import torch

    from fishbone.data.dataset import load_dataset
    from fishbone.errors import InputError
    from fishbone.files import read_tensors, sha256, write_history, write_json, write_tensors
    from fishbone.nn.checkpoint import Checkpoint
    from fishbone.nn.evaluate import evaluate
    from fishbone.nn.models import load_model
    from fishbone.nn.train import uses_bf16
    from fishbone.pruning.cost import measured
    from fishbone.pruning.images import draw, recalibrated
    from fishbone.pruning.masks import density_steps
    from fishbone.pruning.methods import METHODS, VARIANTS
    from fishbone.pruning.trajectory import follow, score_dampings

    torch.set_num_threads(params.threads)
    dataset = load_dataset(data)
    network, description = load_model(model)
    recipe = (METHODS | VARIANTS)[method]
    _check(params, recipe, dataset, description, data)
    parent = sha256(model)
    work = {"method": method, "params": params.model_dump(), "data": dataset.digest, "model": parent, "seed": seed}
    progress = Checkpoint(checkpoint, work)
    images = functools.partial(draw, dataset, padding=params.padding, flip=params.flip, seed=seed)
    gradients, operations = _operations(recipe, params, network, *images(params.curvature_images, "curvature"), seed)
    recalibrate = functools.partial(recalibrated, inputs=images(params.recalibration_images, "recalibration")[0])

    splits = {name: dataset.split(name) for name in ("validation", "test")}
    quickly = functools.partial(
        torch.autocast, "cpu", torch.bfloat16, enabled=uses_bf16(params.precision, torch.device("cpu"))
    )

    def accuracy(pruned, split: str) -> float:
        faster = copy.deepcopy(pruned).to(memory_format=torch.channels_last)  # a quarter less time
        return evaluate(faster, *splits[split])["accuracy"]

    judges = [part[: params.judging_images] for part in splits["validation"]]

    def judge(pruned) -> float:
        with quickly():
            return evaluate(pruned, *judges)["accuracy"]

    def judge_recalibrated(pruned) -> float:
        with quickly():
            return judge(recalibrate(pruned))

    def tune() -> dict[str, float]:
        gammas = params.gammas if recipe.damped else []
        scores = score_dampings(network, gammas, operations(trial=True), params.tuning_sparsities, judge_recalibrated)
        if scores and not math.isfinite(max(scores.values())):
            raise InputError(
                "none led to a network that holds", field="gammas", value=gammas, remedy="Give greater ones."
            )
        return scores

    pace = params.retraining if recipe.retrained else params
    steps = density_steps(params.sparsities, pace.steps_per_halving)
    kept = (checkpoint.parent if checkpoint else out) / f".kept-{progress.identity[:16]}"

    def copy_of(sparsity: float) -> Path:
        return kept / f"{sparsity}.safetensors"

    def keep(operation, sparsity: float) -> None:
        if sparsity in params.sparsities:
            write_tensors(copy_of(sparsity), operation.model.state_dict() | {MASK: operation.mask})

    saved = progress.load()
    done = steps[: len(saved[1]["history"])] if saved else []
    if not all(copy_of(sparsity).exists() for sparsity in done if sparsity in params.sparsities):
        progress.remove()  # of no use without the copies made so far
        saved = None
    with measured() as whole:
        begun = time.perf_counter()
        scores = saved[1]["notes"] if saved else tune()
        tuned = time.perf_counter()
        chosen = {"gamma": float(max(scores, key=scores.get))} if recipe.damped else {}
        final = operations()(network, **chosen)
        finite = {gamma: score for gamma, score in scores.items() if math.isfinite(score)}
        metrics = chosen | {f"validation_accuracy_by_gamma/{gamma}": score for gamma, score in finite.items()}
        metrics["dense_test_accuracy"] = accuracy(network, "test")
        column = "validation_accuracy_without_recalibration", judge
        retrain = _retraining(recipe, params, dataset, seed)
        started = time.perf_counter()
        history = follow(final, steps, column, progress, scores, _print, retrain, keep)
    cost = {
        "tuning_seconds": tuned - begun,
        "seconds": time.perf_counter() - started,
        "peak_bytes": whole.get("peak_bytes"),
        "backward_passes": gradients.backward,
    }
    for sparsity in params.sparsities:
        state, _ = read_tensors(copy_of(sparsity))
        mask = state.pop(MASK)
        network.load_state_dict(state)
        recalibrated_network = recalibrate(network)
        _write(out, sparsity, recalibrated_network, final.layout.tensors(mask), description | {"parent": parent})
        metrics |= _counts(sparsity, network, mask) | {
            f"test_accuracy/{sparsity}": accuracy(recalibrated_network, "test"),
            f"test_accuracy_without_recalibration/{sparsity}": accuracy(network, "test"),
            f"validation_accuracy/{sparsity}": accuracy(recalibrated_network, "validation"),
        }
    metrics |= {key: value for key, value in history[0].items() if key.startswith("auxiliary_loss")}
    write_history(out / "history.csv", history)
    write_json(out / "cost.json", cost if saved is None else dict.fromkeys(cost))  # a resumed run saw only a part
    write_json(out / "metrics.json", metrics)
    progress.remove()
    shutil.rmtree(kept)


def _operations(recipe, params: Params, network, inputs, labels, seed: int):
    """(gradients, trial → (network, damping) → operation).

    Trials do without drift, and FishLeg does not go on learning in them.
    """
    from fishbone.curvature.drift import Drift
    from fishbone.curvature.gradients import Gradients
    from fishbone.curvature.layout import Layout, prunable
    from fishbone.curvature.learning import Learning
    from fishbone.curvature.likelihoods import Softmax
    from fishbone.pruning.compensation import Solver
    from fishbone.pruning.methods import ONCE, estimators
    from fishbone.pruning.operation import Operation, Surgery

    layout = Layout.of(network, prunable(network))
    count = round(recipe.share * len(inputs))
    softmax = Softmax(params.temperature if recipe.tempered else 1.0)
    gradients = Gradients(layout, inputs[:count], params.fisher, softmax, labels[:count], seed)
    fls = params.fls.model_dump()
    learning = Learning(**fls | {"held_out": round(recipe.share * fls["held_out"])})
    drift = Drift(gradients, network) if recipe.first_order else None
    solver = Solver(params.solver_iterations, params.solver_tolerance)

    def operations(trial: bool = False):
        make = estimators(recipe, gradients, block=params.block, learning=learning, seed=seed)
        learns_on = recipe.estimator == "fishleg" and not recipe.changes.get("renew", learning.renew)
        every = ONCE if trial and learns_on else recipe.refine_every
        surgery = Surgery(recipe.ranking, recipe.compensation, every, solver, scope=params.scope)

        def operation(model, gamma: float = 0.0) -> Operation:
            return Operation(model, layout, make(gamma, trial), surgery, None if trial else drift)

        return operation

    return gradients, operations


def _retraining(method, params: Params, dataset, seed: int):
    """(operation, step) → None: trains what is left, or does nothing."""
    from fishbone.nn.train import Recipe
    from fishbone.pruning.retraining import retrain
    from fishbone.seeding import derive

    if not method.retrained:
        return lambda operation, step: None
    chosen = params.retraining.model_dump(exclude={"steps_per_halving"})
    whole_images = {"early_epochs": 0, "early_size": dataset.shape[-1]}
    recipe = Recipe(**chosen, **whole_images, padding=params.padding, flip=params.flip)
    splits = dataset.split("train"), dataset.split("validation")

    def train_on(operation, step: int) -> None:
        retrain(operation.model, operation.layout, operation.mask, *splits, recipe, derive(seed, "retraining", step))

    return train_on


def _check(params: Params, recipe, dataset, description: dict, file: Path) -> None:
    from fishbone.errors import InputError

    if description["data"]["sha256"] != dataset.digest:
        remedy = f"Give {description['data']['name']}.npz as it was then, or train again."
        raise InputError("the network was trained on other data", file=file, remedy=remedy)
    if params.fisher == "labels" and params.temperature != 1:
        remedy = "Set temperature to 1, or fisher to exact or signs."
        raise InputError(
            "the empirical matrix has no temperature", field="temperature", value=params.temperature, remedy=remedy
        )
    fls = params.fls.model_dump() | recipe.changes
    if recipe.estimator == "fishleg" and recipe.refine_every == 1 and not (fls["renew"] or fls["later_steps"]):
        raise InputError("this method goes on learning", field="fls.later_steps", value=0, remedy="Give 1 or more.")
    if not fls["precondition"] and not fls["first_steps"]:
        raise InputError("this method learns", field="fls.first_steps", value=0, remedy="Give 1 or more.")
    for field, value, most in (
        ("curvature_images", params.curvature_images, len(dataset.train)),
        ("recalibration_images", params.recalibration_images, len(dataset.train)),
        ("judging_images", params.judging_images, len(dataset.validation)),
        ("fls.held_out", params.fls.held_out, int((round(recipe.share * params.curvature_images) - 1) / recipe.share)),
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
    judged = {"validation_accuracy_without_recalibration": "accuracy", "validation_loss_without_recalibration": "loss"}
    shown = [f"validation {name} {row[key]:.4f} as it stands" for key, name in judged.items() if key in row]
    click.echo(", ".join([f"step {row['step']}: sparsity {row['sparsity']:.4f}", *shown]))
