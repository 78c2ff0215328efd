"""Hand-made ONNX classifiers and a data set: what bench takes from people, without PyTorch's exporter."""

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save_model

from fishbone.data.dataset import save_dataset

SIDE, CLASSES, CHANNELS = 8, 3, 4
NAMED = {"fishbone.class_names": '["a", "b", "c"]'}
STATED = {"fishbone.mean": "[0.5]", "fishbone.std": "[0.3]"} | NAMED  # so that accuracy rests on no assumption


def classifier(seed=0, batch="batch", kind=TensorProto.FLOAT, operator="Relu", side=SIDE, metadata=None):
    """Conv 1→4 (3x3, same) → operator → global mean → Gemm 4→3; (batch, 1, side, side) → (batch, 3)."""
    generator = np.random.default_rng(seed)
    weights = {
        "conv.weight": generator.standard_normal((CHANNELS, 1, 3, 3)).astype(np.float32),
        "fc.weight": generator.standard_normal((CLASSES, CHANNELS)).astype(np.float32),
        "fc.bias": generator.standard_normal(CLASSES).astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["x", "conv.weight"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node(operator, ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "fc.weight", "fc.bias"], ["logits"], "fc", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", kind, [batch, 1, side, side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, CLASSES])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, metadata or {})
    return model


def save_classifier(path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    model = classifier(**options)
    if options.get("operator", "Relu") == "Relu":
        checker.check_model(model, full_check=True)
    save_model(model, path)
    return path


def save_images(path, side=SIDE, count=90, classes=CLASSES):
    generator = np.random.default_rng(1)
    order = generator.permutation(count)
    save_dataset(
        path,
        images=generator.integers(256, size=(count, side, side, 1), dtype=np.uint8),
        labels=generator.integers(classes, size=count),
        train=order[:30],
        validation=order[30:60],
        test=order[60:],
        class_names=list("abcdefghij"[:classes]),
    )
    return path
