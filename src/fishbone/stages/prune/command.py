"""``fishbone prune``: a trained network pruned to several sparsities on one trajectory.

Writes the networks of all sparsities with recalibrated batch norms, and their masks, as one artefact
(`fishbone.pruning.networks`); and metrics, history and cost.
"""

from pathlib import Path
from typing import Any

import click

from fishbone.parameters import default_block
from fishbone.stages.prune.params import NAMES, Params


@click.command(
    epilog="Examples: fishbone prune --method fls --model run/model.safetensors --data digits.npz --seed 0"
    ' --params "$(fishbone params prune)" --out pruned; fishbone prune --model-file net.py:make_net --weights'
    " net.safetensors --data digits.npz --sparsity 0.9 --out pruned"
)
@click.option(
    "--method",
    type=click.Choice(NAMES),
    default="fls",
    show_default=True,
    help="How to rank and compensate.",
)
@click.option("--model", type=click.Path(path_type=Path), help="Weights made by `fishbone train`.")
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
    help="With --model: the stage's parameter block; `fishbone params prune` prints one.  [default: that of quick]",
)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Keep progress here and resume from it.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
def command(
    method: str,
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
    looks: dict[str, Any] = {"pattern": pattern, "padding": padding, "flip": flip, "temperature": temperature}
    if model_file:
        _needed("--model-file", **{"--weights": weights, "--sparsity": sparsity})
        _unused("--model-file", **{"--model": model, "--params": params})
        assert weights is not None  # as it is needed, like the next
        assert sparsity is not None
        from fishbone.stages.prune import file_job

        given = {name: value for name, value in looks.items() if value is not None}
        metrics = file_job.run(
            model_file, weights, data, method, sparsity, out, seed=seed, checkpoint=checkpoint, report=_print, **given
        )
        click.echo(f"test accuracy {metrics['dense_test_accuracy']:.4f} dense, {metrics['test_accuracy']:.4f} pruned")
    else:
        _needed("a network made by `fishbone train`", **{"--model": model})
        others = {f"--{name}": value for name, value in looks.items()}
        _unused("--model", **{"--weights": weights, "--sparsity": sparsity} | others)
        assert model is not None  # as it is needed
        from fishbone.stages.prune import job

        job.run(method, model, data, seed, params or default_block(Params, "prune"), checkpoint, out, report=_print)


def _needed(purpose: str, **options: Any) -> None:
    missing = [name for name, value in options.items() if value is None]
    if missing:
        raise click.UsageError(f"{purpose} needs {' and '.join(missing)}")


def _unused(purpose: str, **options: Any) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise click.UsageError(f"{purpose} and {' and '.join(given)} exclude each other")


def _print(row: dict[str, Any]) -> None:
    judged = {"validation_accuracy_without_recalibration": "accuracy", "validation_loss_without_recalibration": "loss"}
    shown = [f"validation {name} {row[key]:.4f} as it stands" for key, name in judged.items() if key in row]
    click.echo(", ".join([f"step {row['step']}: sparsity {row['sparsity']:.4f}", *shown]))
