"""Networks that this package has never seen: a Python file that makes the network, and its weights."""

import importlib.util
import math
import sys
from collections.abc import Callable
from pathlib import Path

from torch import nn

from fishbone.curvature.likelihoods import Softmax
from fishbone.data.dataset import load_dataset
from fishbone.errors import InputError
from fishbone.files import read_tensors, try_output, write_history, write_json, write_tensors
from fishbone.nn.evaluate import evaluate
from fishbone.pruning.images import draw
from fishbone.pruning.surgeon import Surgeon

REMEDY = "Give FILE.py:FUNCTION, a function without arguments that returns the torch.nn.Module."


def load_network(spec: str, weights: Path) -> nn.Module:
    """The network that ``FILE.py:FUNCTION`` makes, with the weights of a ``.safetensors`` file, in eval mode.

    Runs the file as Python: it is the caller's own.

    Raises:
        InputError: the file, the function or what it returns is not as it should be, or the weights do not fit.
    """
    file, _, function = spec.rpartition(":")
    if not file or not Path(file).is_file():
        raise InputError("there is no such Python file", field="--model-file", value=spec, remedy=REMEDY)
    if Path(file).suffix != ".py":
        raise InputError("not a .py file", field="--model-file", value=spec, remedy=REMEDY)
    found = importlib.util.spec_from_file_location("fishbone_foreign_network", file)
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses and pickling look their module up there
    found.loader.exec_module(module)
    make = getattr(module, function, None)
    if not callable(make):
        raise InputError(f"it has no function {function}", file=file, field="--model-file", remedy=REMEDY)
    network = make()
    if not isinstance(network, nn.Module):
        kind = type(network).__name__
        raise InputError(f"{function}() returned a {kind}", file=file, field="--model-file", remedy=REMEDY)
    tensors, _ = read_tensors(weights)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        remedy = "Save them with safetensors.torch.save_file(network.state_dict(), …)."
        raise InputError(f"weights do not fit {spec}: {error}", file=weights, remedy=remedy) from None
    return network.eval()


def prune_file(
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
    report: Callable[[dict], None] = lambda row: None,
) -> dict[str, float | None]:
    """`Surgeon` on a network from a file, with a prepared data set's training split as its loader.

    Writes ``pruned.safetensors``, ``pruned.mask.safetensors``, ``history.csv`` and ``metrics.json`` in ``out``.

    Args:
        spec, weights: as in `load_network`.
        padding, flip: of random crops and mirror images, as in the network's training.
        temperature: as in `fishbone.curvature.likelihoods.Softmax`.

    Returns:
        The metrics: test accuracy before and after, the sparsity reached, the damping and the losses that chose it
        (None: not finite).

    Raises:
        InputError: the network, its weights or the options do not do; names what.
    """
    try_output(out / "metrics.json")
    dataset = load_dataset(data)
    network = load_network(spec, weights)
    images = min(1000, len(dataset.train))
    loader = [draw(dataset, images, "curvature", padding=padding, flip=flip, seed=seed)]
    held = dataset.split("validation")
    try:
        likelihood = Softmax(temperature)
        surgeon = Surgeon(network, loader, likelihood, method=method, images=images, validation=held, seed=seed)
        metrics = {"dense_test_accuracy": evaluate(network, *dataset.split("test"))["accuracy"]}
        pruned = surgeon.prune(sparsity, pattern=pattern, checkpoint=checkpoint, report=report)
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
