"""One job of the stage `train`: one data set, one seed.

Weights are rounded to half precision at the end, before they are judged, and so fill half of the space.
"""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from fishbone.data.dataset import load_dataset
from fishbone.files import try_output, write_history, write_json
from fishbone.nn.checkpoint import Checkpoint
from fishbone.nn.divergence import require_finite
from fishbone.nn.evaluate import evaluate
from fishbone.nn.models import build, save_model
from fishbone.nn.sidecar import Sidecar
from fishbone.nn.train import Recipe, train
from fishbone.stages.train.params import Params


def run(
    data: Path,
    seed: int,
    params: Params,
    checkpoint: Path | None,
    out: Path,
    report: Callable[[dict[str, Any]], None],
) -> dict[str, float]:
    """Train, judge, and write weights with their sidecar, metrics and history.

    Args:
        data: the prepared data set.
        seed: decides the initial weights, the order of the images and their augmentation.
        params: of the network and of its training.
        checkpoint: file to keep progress in and to resume from; None keeps none.
        out: folder for the results.
        report: called with each epoch's row.

    Returns:
        The metrics.

    Raises:
        InputError: the data set or ``out`` cannot be used, a loss is not finite, or another process does this work.
    """
    torch.set_num_threads(params.threads)
    try_output(out / "metrics.json")
    dataset = load_dataset(data)
    architecture = {
        "name": "resnet", "depth": params.depth, "width": params.width,
        "channels": dataset.shape[0], "classes": dataset.classes,
    }  # fmt: skip
    model = build(architecture, seed)
    recipe = Recipe(**params.model_dump(include={field.name for field in fields(Recipe)}))
    progress = Checkpoint(checkpoint, {"params": params.model_dump(), "data": dataset.digest, "seed": seed})
    history = train(model, dataset.split("train"), dataset.split("validation"), recipe, seed, progress, report)

    model.half().float()
    final = {split: evaluate(model, *dataset.split(split)) for split in ("validation", "test")}
    for split, judged in final.items():
        remedy = "Lower it, or raise weight_decay: weights above 65504 are infinite in half precision."
        require_finite(judged["loss"], f"the {split} loss", "rounding to half precision", remedy=remedy)
    metrics = {
        "test_accuracy": final["test"]["accuracy"],
        "test_loss": final["test"]["loss"],
        "validation_accuracy": final["validation"]["accuracy"],
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    save_model(out / "model.safetensors", model.half(), Sidecar.of(architecture, dataset))
    write_history(out / "history.csv", history)
    write_json(out / "metrics.json", metrics)
    progress.remove()
    return metrics
