"""``fishbone train``: a ResNet on a prepared data set; writes weights, sidecar, metrics and history.

Weights are rounded to half precision at the end, before they are judged, and so fill half of the space.
"""

from pathlib import Path
from typing import Annotated, Literal

import click
from pydantic import AfterValidator, Field

from fishbone.fields import Distinct, Name, Seed, Threads
from fishbone.parameters import Block, params_option


def _known_depth(depth: int) -> int:
    if depth != 18 and (depth < 8 or (depth - 2) % 6):
        raise ValueError("input should be 18 or 6n+2: 8, 14, 20, 26, 32, 44, 56, …")
    return depth


class Params(Block):
    depth: Annotated[int, AfterValidator(_known_depth)] = Field(
        description="layers: 6n+2 (CIFAR ResNet) or 18", json_schema_extra={"anyOf": [{"const": 18}, {"minimum": 8}]}
    )
    width: int = Field(description="channels of the first group", ge=1)
    epochs: int = Field(description="passes over the training split", ge=1)
    batch: int = Field(description="images in a step", ge=2)
    learning_rate: float = Field(description="peak of the one-cycle schedule", gt=0)
    warmup: float = Field(description="fraction of the steps in which the rate rises", gt=0, lt=1)
    momentum: float = Field(description="Nesterov momentum", gt=0, lt=1)
    weight_decay: float = Field(description="L2 penalty", ge=0)
    padding: int = Field(description="random crops shift by up to this many pixels; 0: none", ge=0)
    flip: bool = Field(description="mirror images at random")
    early_epochs: int = Field(description="epochs at first that see smaller images, which cost less; 0: none", ge=0)
    early_size: int = Field(description="height and width in pixels of the images in these epochs", ge=8)
    precision: Literal["auto", "bf16", "fp32"] = Field(description="auto: bf16 where it is faster than fp32")
    device: Literal["auto", "cpu", "cuda"] = Field(description="auto: the GPU if there is one")
    threads: Threads = Field(description="threads of one job; other numbers give other last bits")


class Plan(Params):
    datasets: Distinct[Name] = Field(description="data sets that `prepare` makes", min_length=1)
    seeds: Distinct[Seed] = Field(description="one run each: initial weights, order and augmentation", min_length=1)


@click.command(
    epilog='Example: fishbone train --data digits.npz --seed 0 --params "$(fishbone params train)" --out run'
)
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Data set made by `fishbone prepare`.")
@click.option("--seed", required=True, type=int, help="Seed of initial weights, order and augmentation.")
@params_option(Params)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Keep progress here and resume from it.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
def command(data: Path, seed: int, params: Params, checkpoint: Path | None, out: Path) -> None:
    """Train a ResNet with SGD and a one-cycle schedule."""
    import torch

    from fishbone.data.dataset import load_dataset
    from fishbone.files import try_output, write_history, write_json
    from fishbone.nn.checkpoint import Checkpoint
    from fishbone.nn.divergence import require_finite
    from fishbone.nn.evaluate import evaluate
    from fishbone.nn.models import build, save_model, sidecar
    from fishbone.nn.train import Recipe, train

    torch.set_num_threads(params.threads)
    try_output(out / "metrics.json")
    dataset = load_dataset(data)
    architecture = {
        "name": "resnet", "depth": params.depth, "width": params.width,
        "channels": dataset.shape[0], "classes": dataset.classes,
    }  # fmt: skip
    model = build(architecture, seed)
    recipe = Recipe(**params.model_dump(include=set(Recipe.__dataclass_fields__)))
    progress = Checkpoint(checkpoint, {"params": params.model_dump(), "data": dataset.digest, "seed": seed})
    history = train(model, dataset.split("train"), dataset.split("validation"), recipe, seed, progress, _print)

    model.half().float()
    final = {split: evaluate(model, *dataset.split(split)) for split in ("validation", "test")}
    for split, judged in final.items():
        remedy = "Lower it, or raise weight_decay: weights above 65504 are infinite in half precision."
        require_finite(judged["loss"], f"the {split} loss", "rounding to half precision", remedy=remedy)
    save_model(out / "model.safetensors", model.half(), sidecar(architecture, dataset))
    write_history(out / "history.csv", history)
    write_json(
        out / "metrics.json",
        {
            "test_accuracy": final["test"]["accuracy"],
            "test_loss": final["test"]["loss"],
            "validation_accuracy": final["validation"]["accuracy"],
            "parameters": sum(p.numel() for p in model.parameters()),
        },
    )
    progress.remove()
    click.echo(f"test accuracy {final['test']['accuracy']:.4f}")


def _print(row: dict) -> None:
    click.echo(
        f"epoch {row['step']}: train loss {row['train_loss']:.4f}, validation accuracy {row['validation_accuracy']:.4f}"
    )
