"""One job of the stage `prune` without a study: a network of one's own, from a Python file and its weights."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fishbone.curvature.likelihoods import Softmax
from fishbone.data.dataset import load_dataset
from fishbone.errors import InputError
from fishbone.files import try_output, write_history, write_json, write_tensors
from fishbone.nn.evaluate import evaluate
from fishbone.pruning.images import draw
from fishbone.pruning.model_file import load_model_file
from fishbone.pruning.surgeon import Surgeon


def run(
    spec: str,
    weights: Path,
    data: Path,
    method: str,
    sparsity: float,
    out: Path,
    *,
    pattern: str = "unstructured",
    padding: int = 0,
    flip: bool = False,
    temperature: float = 1.0,
    seed: int = 0,
    checkpoint: Path | None = None,
    report: Callable[[dict[str, Any]], None] = lambda row: None,
) -> dict[str, float | None]:
    """Prune a network from a file with `Surgeon`, whose loader is a prepared data set's training split.

    Writes ``pruned.safetensors``, ``pruned.mask.safetensors``, ``history.csv`` and ``metrics.json`` in ``out``.

    Args:
        spec: who makes the network, as ``FILE.py:FUNCTION``; see `fishbone.pruning.model_file.load_model_file`.
        weights: file with the network's weights.
        data: prepared data set that it was trained on.
        method: a name in `fishbone.pruning.methods.METHODS`.
        sparsity: fraction of the prunable weights to remove.
        out: folder for the results.
        pattern: which weights go together; see `fishbone.pruning.patterns.parse_pattern`.
        padding: pixels by which random crops shift at most, as in the network's training.
        flip: whether the network was trained on mirrored images too.
        temperature: of the Fisher matrix, as in `fishbone.curvature.likelihoods.Softmax`.
        seed: decides which images are looked at, and the random signs of gradient rows.
        checkpoint: file to keep progress in and to resume from; None keeps none.
        report: called with each step's row.

    Returns:
        The metrics: test accuracy before and after, the sparsity reached, the damping and the losses that chose it
        (None: not finite).

    Raises:
        InputError: the network, its weights or the options do not do; names what.
    """
    try_output(out / "metrics.json")
    dataset = load_dataset(data)
    network = load_model_file(spec, weights)
    images = min(1000, len(dataset.train))
    loader = [draw(dataset, images, "curvature", padding=padding, flip=flip, seed=seed)]
    held = dataset.split("validation")
    try:
        likelihood = Softmax(temperature)
        surgeon = Surgeon(network, loader, likelihood, method=method, images=images, validation=held, seed=seed)
        metrics: dict[str, float | None] = {
            "dense_test_accuracy": evaluate(network, *dataset.split("test"))["accuracy"]
        }
        pruned = surgeon.prune(sparsity, pattern=pattern, checkpoint=checkpoint, report=report)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(str(error), file=spec, remedy="Change the network or the options.") from None
    weights_left = sum(int(mask.sum()) for mask in pruned.masks.values())
    metrics |= {} if pruned.gamma is None else {"gamma": pruned.gamma}
    metrics |= {
        "sparsity": 1 - weights_left / sum(mask.numel() for mask in pruned.masks.values()),
        "test_accuracy": evaluate(network, *dataset.split("test"))["accuracy"],
    }
    metrics |= {
        f"validation_loss_by_gamma/{gamma}": loss if math.isfinite(loss) else None  # JSON has no infinity
        for gamma, loss in pruned.validation_loss.items()
    }
    write_tensors(out / "pruned.safetensors", network.state_dict())
    write_tensors(out / "pruned.mask.safetensors", pruned.masks)
    write_history(out / "history.csv", pruned.history)
    write_json(out / "metrics.json", metrics)
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    return metrics
