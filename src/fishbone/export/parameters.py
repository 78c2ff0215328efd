"""How many parameters an ONNX file stores: its floats, and the integers that stand for floats, without their scales.

Whatever may hold more than can be seen here makes the number unknown, with the reason: weights packed for an operator
that is not known, coefficients among an operator's attributes, small integers of which nothing says what they are.
"""

import math
import re

from onnx import AttributeProto, ModelProto, NodeProto, TensorProto

from fishbone.export.operators import COUNTED, FORMS, UnknownCountError, form_of, name_of
from fishbone.export.stored import all_nodes, all_tensors, read_arrays

FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
SMALL = {kind for name, kind in TensorProto.DataType.items() if re.match("U?INT(2|4|8|16)$|FLOAT[48]", name)}
HOLDS = (AttributeProto.FLOATS, AttributeProto.TENSOR, AttributeProto.TENSORS)


def count_parameters(proto: ModelProto) -> int:
    """Count the parameters that a file stores, as the module's docstring defines them.

    Args:
        proto: the model in its canonical form.

    Raises:
        UnknownCountError: the file does not tell; the message names the node.
    """
    _, roots = read_arrays(proto)
    counted, helpers = set(), set()
    for node in all_nodes(proto):
        _check_attributes(node)
        own, others = _roles(node)
        counted |= {roots.get(name, name) for name in own}
        helpers |= others
    total = 0
    for name, tensor in all_tensors(proto):
        if name in counted or (tensor.data_type in FLOATS and name not in helpers):
            total += math.prod(tensor.dims)
        elif tensor.data_type in SMALL and name not in helpers:
            reader = next((name_of(node) for node in all_nodes(proto) if name in node.input), "no node")
            raise UnknownCountError(f"{reader}: what its stored {name} stands for is not known here")
    return total


def _roles(node: NodeProto) -> tuple[set[str], set[str]]:
    """(inputs that are parameters where they are stored, whatever their type; scales and zero points)."""
    form = FORMS.get((node.domain, node.op_type))
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        places: tuple[int | None, ...] = (0,)
    elif form and form.operator in COUNTED:
        places = (*form.places, form.bias)
    elif form and node.op_type.startswith("QLinear"):
        places = form.places
    else:
        return set(), set()
    own = {name for place, name in enumerate(node.input) if place in places}
    # Of an operator on floats the rest are parameters as well: its bias.
    return own, set() if form and form.operator in COUNTED and form.zero is None else set(node.input) - own


def _check_attributes(node: NodeProto) -> None:
    try:
        form_of(node)
    except UnknownCountError:
        if any(attribute.type in HOLDS for attribute in node.attribute):
            raise
