"""ONNX graphs for the sparse runtime: built node by node, or drawn at random with every operator that it has."""

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from fishbone.bench.agent import SparseSession
from fishbone.sparse.plan import compile_plan


class Graph:
    """An ONNX graph, built node by node."""

    def __init__(self, shape, seed=0):
        self.random = np.random.default_rng(seed)
        self.shape, self.nodes, self.stored = shape, [], []

    def node(self, kind, *inputs, **attributes) -> str:
        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=f"n{len(self.nodes)}", **attributes))
        return out

    def store(self, array, dtype=np.float32) -> str:
        name = f"w{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(np.array(array, dtype, order="C"), name))
        return name

    def conv(self, source, inputs, channels, kernel=3, stride=1, padding=1, density=0.2, **attributes) -> str:
        weight = self.random.standard_normal((channels, inputs, kernel, kernel))
        weight *= self.random.random(weight.shape) < density
        stored = self.store(weight), self.store(self.random.standard_normal(channels))
        return self.node(
            "Conv", source, *stored, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[padding] * 4, **attributes
        )

    def proto(self, *outputs, opset=18, batch="batch", listed=False) -> onnx.ModelProto:
        """``listed``: stored tensors are inputs too, as in files of before 2019."""
        given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *self.shape])]
        if listed:
            given += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in self.stored]
        made = [helper.make_tensor_value_info(out, TensorProto.FLOAT, None) for out in outputs]
        graph = helper.make_graph(self.nodes, "g", given, made, self.stored)
        domains = {"": opset} | {node.domain: 1 for node in self.nodes if node.domain}
        imports = [helper.make_opsetid(*entry) for entry in domains.items()]
        return helper.make_model(graph, opset_imports=imports, ir_version=8)

    def save(self, path, *outputs, **options):
        onnx.save(self.proto(*outputs, **options), path)
        return path


def outputs_agree(proto, library, plan, batch=1, threads=1) -> None:
    """The sparse runtime computes what ONNX Runtime does, within 1e-5 of the largest output."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    plan.write_bytes(compile_plan(proto))
    network = SparseSession(library, plan, batch, threads)
    for seed in (0, 1):  # a second run must find no trace of the first
        images = np.random.default_rng(seed).standard_normal(network.shape).astype(np.float32)
        feed = images.reshape([batch, *session.get_inputs()[0].shape[1:]])
        expected = session.run(None, {"x": feed})[0].reshape(batch, -1)
        tolerance = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(network.run(None, {"x": images})[0], expected, rtol=0, atol=tolerance)


class RandomGraph(Graph):
    """``made``, and the batch and threads to run it with.

    ``odd`` is the name of the one node, if any, that the sparse runtime may refuse.
    """

    def __init__(self, seed):
        random = np.random.default_rng([seed, 1])
        sides = random.choice([1, 2, 3, 5, 8, 11, 16, 17, 33], 2, p=[0.05, 0.05, *[0.9 / 7] * 7])
        shape = (int(random.integers(1, 6)), *map(int, sides))
        super().__init__(shape if random.random() < 0.9 else shape[:1], seed)
        self.batch, self.threads = int(random.integers(1, 5)), int(random.choice([1, 1, 2, 3, 4]))
        self.opset, self.fixed = int(random.choice([13, 17, 18, 20])), random.random() < 0.3
        self.odd, self.shapes, self.renamed = None, {"x": self.shape}, {"x"}
        steps = [self.any_conv, self.relu, self.add, self.mean, self.vector, self.gemm, self.stage]
        while len(self.nodes) < random.integers(1, 12):
            random.choice(steps, p=[0.36, 0.2, 0.2, 0.04, 0.05, 0.05, 0.1])()
        if random.random() < 0.5:
            for step in (self.mean, lambda: self.relu(0.5), self.vector, self.gemm, lambda: self.relu(0.3)):
                step()
        if len(self.shapes) == 1:
            self.relu()
        out = self.strange() if random.random() < 0.25 else list(self.shapes)[-1]
        if self.odd is None and random.random() < 0.15:  # one that others read as well
            out = str(random.choice(list(self.shapes)[1:]))
        if out in self.renamed:  # nothing to compute
            self.odd = next(node.name for node in self.nodes if out in node.output)
        batch = self.batch if self.fixed else "batch"
        self.made = self.proto(out, opset=self.opset, batch=batch, listed=random.random() < 0.1)

    def pick(self, rank=None) -> str | None:
        """Mostly one of the latest tensors."""
        found = [name for name, shape in self.shapes.items() if rank in (None, len(shape))]
        return found[-min(len(found), int(self.random.geometric(0.6)))] if found else None

    def put(self, name, shape) -> str:
        self.shapes[name] = tuple(map(int, shape))
        return name

    def chance(self, share) -> bool:
        return self.random.random() < share

    def constant(self, array, dtype=np.float32) -> str:
        if self.chance(0.2):
            return self.node("Constant", value=numpy_helper.from_array(np.array(array, dtype)))
        return self.store(array, dtype)

    def weights(self, *shape) -> str:
        """With zeros; outputs are about as large as inputs."""
        density = self.random.choice([0.0, 0.1, 0.5, 1.0], p=[0.03, 0.37, 0.3, 0.3])
        kept = self.random.random(shape) < density
        return self.constant(self.random.standard_normal(shape) * kept / np.sqrt(max(1, kept.sum() / shape[0])))

    def any_conv(self, source=None, channels=None, kernel=None, stride=None) -> str | None:
        if (source := source or self.pick(3)) is None:
            return None
        inputs, *sides = self.shapes[source]
        kernel = kernel or int(self.random.choice([k for k in (1, 2, 3, 4, 5) if k <= min(sides) + 2]))
        stride = stride or int(self.random.choice([1, 1, 1, 2, 3]))
        least = max(0, -((min(sides) - kernel) // 2))
        padding = int(self.random.integers(least, kernel)) if self.chance(0.3) else max(least, (kernel - 1) // 2)
        same = stride == 1 and 2 * padding == kernel - 1
        channels = channels or (inputs if same and self.chance(0.7) else int(self.random.integers(1, 9)))
        bias = (
            [self.constant(self.random.standard_normal(channels))]
            if self.chance(0.7)
            else [""][: self.random.integers(2)]
        )
        weight = self.weights(channels, inputs, kernel, kernel)
        attributes = {"strides": [stride] * 2} if stride > 1 or self.chance(0.5) else {}
        attributes |= {"pads": [padding] * 4} if padding or self.chance(0.5) else {}
        attributes |= {"kernel_shape": [kernel] * 2} if self.chance(0.5) else {}
        name = self.node("Conv", source, weight, *bias, **attributes)
        return self.put(name, (channels, *((side + 2 * padding - kernel) // stride + 1 for side in sides)))

    def stage(self) -> None:
        """A residual block, the two sides of its addition in either order; ReLU anywhere or nowhere."""
        if (source := self.pick(3)) is None or min(self.shapes[source][1:]) < 3:
            return
        stride, width = int(self.random.integers(1, 3)), int(self.random.integers(1, 7))
        short = source
        if stride > 1 or width != self.shapes[source][0]:
            short = self.fixed_conv(source, width, 1, stride)
        long = self.relu(0.7, self.fixed_conv(source, width, 3, stride))
        long = self.relu(0.2, self.fixed_conv(long, width, 3, 1))
        sides = [long, self.relu(0.1, short)]
        self.random.shuffle(sides)
        self.relu(0.7, self.put(self.node("Add", *sides), self.shapes[long]))

    def fixed_conv(self, source, channels, kernel, stride) -> str:
        inputs, *sides = self.shapes[source]
        weight, bias = (
            self.weights(channels, inputs, kernel, kernel),
            self.constant(self.random.standard_normal(channels)),
        )
        name = self.node("Conv", source, weight, bias, strides=[stride] * 2, pads=[kernel // 2] * 4)
        return self.put(name, (channels, *((side - 1) // stride + 1 for side in sides)))

    def relu(self, share=1.0, source=None) -> str:
        source = source or self.pick()
        return self.put(self.node("Relu", source), self.shapes[source]) if self.chance(share) else source

    def add(self) -> None:
        one = self.pick()
        others = [name for name, shape in self.shapes.items() if shape == self.shapes[one]]
        pair = [one, str(self.random.choice(others[-3:]))]
        self.random.shuffle(pair)
        self.put(self.node("Add", *pair), self.shapes[one])

    def reduce(self, source, axes, keepdims, **attributes) -> str:
        if self.opset < 18:
            return self.node("ReduceMean", source, axes=axes, keepdims=keepdims)
        return self.node("ReduceMean", source, self.constant(axes, np.int64), keepdims=keepdims, **attributes)

    def mean(self) -> None:
        if (source := self.pick(3)) is None:
            return
        channels = self.shapes[source][0]
        if self.chance(0.5):
            self.put(self.node("GlobalAveragePool", source), (channels, 1, 1))
        else:
            axes = [[2, 3], [3, 2], [-1, -2], [2, -1]][self.random.integers(4)]
            kept = int(self.random.integers(2))
            self.put(self.reduce(source, axes, kept), (channels, 1, 1)[: 3 if kept else 1])

    def vector(self) -> None:
        """Flatten or Reshape, in any spelling."""
        found = [name for name, shape in self.shapes.items() if shape[1:] in ((), (1, 1))]
        if not found:
            return
        source, channels = found[-1], self.shapes[found[-1]][0]
        spelled = [(0, [channels]), (0, [-1]), (-1, [channels]), (0, [0]), (0, [-1, 1, 1]), (0, [channels, 1, -1])]
        first, rest = spelled[self.random.integers(len(spelled))]
        if self.chance(0.5):
            name, rest = self.node("Flatten", source, axis=1 if self.chance(0.5) else -len(self.shapes[source])), [0]
        else:
            first = self.batch if self.fixed and self.chance(0.3) else first
            name = self.node("Reshape", source, self.constant([first, *rest], np.int64))
        self.put(name, [channels, 1, 1][: len(rest)])
        if source in self.renamed:
            self.renamed.add(name)

    def gemm(self) -> None:
        if (source := self.pick(1)) is None:
            return
        (inputs,), channels = self.shapes[source], int(self.random.integers(1, 9))
        transposed = int(self.random.integers(2))
        weight = self.weights(*((channels, inputs) if transposed else (inputs, channels)))
        shape = [(channels,), (1, channels), (), (1,), (1, 1)][self.random.integers(5)]
        bias = (
            [self.constant(self.random.standard_normal(shape))] if self.chance(0.7) else [""][: self.random.integers(2)]
        )
        self.put(self.node("Gemm", source, weight, *bias, transB=transposed, alpha=1.0), (channels,))

    def strange(self) -> str:
        """A node that is valid, and that the sparse runtime need not have."""
        source = self.pick()
        channels, *sides = self.shapes[source]
        shape = self.shapes[source]
        made = [
            lambda: self.node("Add", source, self.constant(self.random.standard_normal((1, *shape)))),
            lambda: self.node("Add", self.constant(1.0), source),
            lambda: self.node("Sigmoid", source),
            lambda: self.node("Relu", self.constant(np.ones((1, *shape)))),
            lambda: self.node("Flatten", source, axis=0),
            lambda: self.node("Gelu", source, domain="com.microsoft"),
            lambda: self.reduce(source, list(range(1, 1 + len(shape))), 1),
            lambda: self.reduce(source, [1], 1),
            lambda: self.reduce(source, [0, 1], 1),
            lambda: self.node("ReduceMean", source),
        ]
        if sides:
            made += self.strange_images(source, channels, sides)
        else:
            made += self.strange_vectors(source, channels)
        name = made[self.random.integers(len(made))]()
        self.odd = self.nodes[-1].name
        return name

    def strange_images(self, source, channels, sides) -> list:
        def conv(*shape, **attributes):
            return lambda: self.node("Conv", source, self.weights(*shape), **attributes)

        small = min(sides)
        found = [
            conv(2, channels, 1, 1, pads=[1, 1, 1, 1]),
            conv(2, channels, 3, 3, pads=[1, 0, 2, 2]) if small > 1 else conv(2, channels, 1, 1, pads=[0, 0, 1, 0]),
            conv(2, channels, 2, 2, auto_pad="SAME_UPPER"),
            conv(2, channels, 3, 3, auto_pad="SAME_LOWER"),
            conv(2, channels, 1, 1, strides=[1, 2]),
            conv(2, channels, 2, 2, dilations=[2, 2], pads=[1, 1, 1, 1]),
            conv(2, channels, 3, 1, pads=[1, 0, 1, 0]),
            conv(2 * channels, 1, 1, 1, group=channels),
            lambda: self.reduce(source, [2], 0),
            lambda: self.reduce(source, [3], 1),
            lambda: self.reduce(source, [1, 3], 1),
            lambda: self.reduce(source, [0, 2, 3], 1),
            lambda: self.node("Flatten", source, axis=2),
            lambda: self.node("Flatten", source),
            lambda: self.node("MaxPool", source, kernel_shape=[1, 1]),
            lambda: self.node("Add", source, self.node("GlobalAveragePool", source)),
            lambda: self.node("Add", self.reduce(source, [2, 3], 0), self.node("GlobalAveragePool", source)),
            lambda: self.node("Reshape", source, self.constant([0, -1], np.int64)),
            lambda: self.node("Reshape", source, self.constant([-1, channels], np.int64)),
            lambda: self.node("Reshape", source, self.constant([0, channels, sides[1], sides[0]], np.int64)),
        ]
        if self.opset >= 18:
            found.append(lambda: self.node("ReduceMean", source, noop_with_empty_axes=1))
        return found

    def strange_vectors(self, source, channels) -> list:
        def gemm(bias=(), **attributes):
            return lambda: self.node("Gemm", source, self.weights(channels, 4), *map(self.constant, bias), **attributes)

        return [
            gemm(alpha=0.5),
            gemm([np.ones(4)], beta=2.0),
            gemm([np.ones((self.batch, 4))]),
            gemm([np.ones((self.batch, 1))]),
            lambda: self.node("Gemm", source, source, transB=1),
            lambda: self.node("Gemm", self.constant(np.ones((3, channels))), source, transB=1),
            lambda: self.node("MatMul", source, self.weights(channels, 3)),
            lambda: self.node("Reshape", source, self.constant([-1], np.int64)),
            lambda: self.node("Reshape", source, self.constant([channels, -1], np.int64)),
        ]
