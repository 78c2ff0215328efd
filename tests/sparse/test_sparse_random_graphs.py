"""Random graphs of every operator, spelling and odd feature: the sparse runtime computes them or names the node."""

from collections import Counter

import numpy as np
import pytest
from onnx import helper
from sparse_graphs import RandomGraph, outputs_agree

from fishbone.sparse.graph import read_graph
from fishbone.sparse.nodes import UnsupportedGraphError
from fishbone.sparse.operations import ADD, CONV, LINEAR, MEAN, fused
from fishbone.sparse.plan import compile_plan

pytestmark = pytest.mark.xdist_group("sparse")  # each width is compiled once
STEPS = {
    (kind, residual, relu)
    for kind, fusions in {CONV: (False, True), LINEAR: (False,), MEAN: (False,), ADD: (False, True)}.items()
    for residual in fusions
    for relu in (False, True)
    if kind != ADD or residual or relu
}


def read(drawn, seed):
    """The graph; None where it is refused, which only the odd node may cause."""
    try:
        return read_graph(drawn.made)
    except UnsupportedGraphError as error:
        if drawn.odd not in str(error).split():
            raise AssertionError(f"seed {seed}: only {drawn.odd} may be refused, not: {error}") from None
        return None


def run(seeds, library, plan) -> tuple[Counter, set]:
    """(accepted and refused graphs, the kinds of steps and settings of those accepted)."""
    count, met = Counter(), set()
    for seed in seeds:
        drawn = RandomGraph(seed)
        graph = read(drawn, seed)
        count["accepted" if graph else "refused"] += 1
        if graph is None:
            continue
        try:
            outputs_agree(drawn.made, library, plan, drawn.batch, drawn.threads)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from None
        steps = fused(graph.operations, graph.output)
        met |= {(step.kind, step.residual is not None, step.relu) for step in steps}
        met |= {f"stride {step.stride}" for step in steps} | {f"padding {step.padding}" for step in steps}
        met |= {f"batch {drawn.batch}", f"threads {drawn.threads}"}
    return count, met


def test_200_random_graphs_are_computed_as_onnx_runtime_does_or_refused_by_node(tmp_path, width):
    count, met = run(range(200), width, tmp_path / "net.plan")
    assert count["accepted"] > 120
    assert count["refused"] > 20
    assert met >= STEPS
    assert met >= {f"stride {n}" for n in (1, 2, 3)} | {f"padding {n}" for n in range(4)}
    assert met >= {f"{what} {n}" for what in ("batch", "threads") for n in range(1, 5)}


def damage(proto, random) -> None:
    """One node loses, gains or swaps something; mostly what comes out is no valid ONNX."""
    node = proto.graph.node[random.integers(len(proto.graph.node))]
    names = ["axis", "axes", "pads", "strides", "kernel_shape", "keepdims", "dilations", "group", "value"]
    values = [[-1] * 4, [0, 0], [5], [1, 2, 3, 4], 3, -7, "x", 2.5]
    attribute = helper.make_attribute(names[random.integers(len(names))], values[random.integers(len(values))])
    match random.integers(5):
        case 0:
            del node.input[-1:]
        case 1:
            node.input.append(str(random.choice(["", "x", "w0", "t0", "nothing"])))
        case 2:
            node.op_type = str(random.choice(["Conv", "Gemm", "Relu", "Add", "ReduceMean", "Reshape", "Constant"]))
        case 3:
            del node.output[:]
        case _:
            kept = [entry for entry in node.attribute if entry.name != attribute.name]
            del node.attribute[:]
            node.attribute.extend([*kept, attribute])


def test_a_damaged_graph_is_refused_or_compiled_and_nothing_else():
    outcomes = Counter()
    for seed in range(600):
        proto = RandomGraph(seed).made
        damage(proto, np.random.default_rng(seed))
        try:
            compile_plan(proto)
            outcomes["compiled"] += 1
        except UnsupportedGraphError:
            outcomes["refused"] += 1
    assert min(outcomes["compiled"], outcomes["refused"]) > 10


@pytest.mark.slow
def test_2800_more_random_graphs(tmp_path, width):
    count, _ = run(range(200, 3000), width, tmp_path / "net.plan")
    assert count["accepted"] > 1700
