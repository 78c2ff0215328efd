"""Networks that this package has never seen: a Python file that makes the network, and its weights."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from torch import nn

from fishbone.errors import InputError
from fishbone.files import read_tensors

REMEDY = "Give FILE.py:FUNCTION, a function without arguments that returns the torch.nn.Module."


def load_model_file(spec: str, weights: Path) -> nn.Module:
    """Make the network of ``FILE.py:FUNCTION``, with the weights of a ``.safetensors`` file, in eval mode.

    Runs the file as Python: it is the caller's own.

    Args:
        spec: a Python file and, after a colon, a function in it without arguments that returns a `torch.nn.Module`.
        weights: file with the network's state by name, as `safetensors.torch.save_file` writes it.

    Raises:
        InputError: the file, the function or what it returns is not as it should be, or the weights do not fit.
    """
    file, _, function = spec.rpartition(":")
    if not file or not Path(file).is_file():
        raise InputError("there is no such Python file", field="--model-file", value=spec, remedy=REMEDY)
    if Path(file).suffix != ".py":
        raise InputError("not a .py file", field="--model-file", value=spec, remedy=REMEDY)
    make = getattr(_imported(file), function, None)
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


def _imported(file: str) -> ModuleType:
    found = importlib.util.spec_from_file_location("fishbone_model_file", file)
    assert found is not None, "the file exists"
    assert found.loader is not None, "and its name ends in .py"
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses and pickling look their module up there
    found.loader.exec_module(module)
    return module
