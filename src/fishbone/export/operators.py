"""Operators of ONNX and of ONNX Runtime, as far as what a graph computes can be counted from them.

An operator is either *plain* (it holds no kernel), or one that stands for Conv, ConvTranspose, Gemm or MatMul, in 8
bits or fused with what follows. Whatever is neither may hold a kernel that nobody counted, so it is not known:
recurrent layers, Einsum, Attention, control flow, blocked layouts, functions and operators of other makers.
"""

import re
from dataclasses import dataclass

from onnx import ModelProto, NodeProto, defs

from fishbone.errors import FishboneError
from fishbone.export.stored import all_nodes

MICROSOFT = "com.microsoft"
COUNTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class UnknownCountError(FishboneError):
    """A number cannot be told from the file; the message names the node."""


@dataclass(frozen=True)
class Form:
    """The standard operator and the places of its inputs among a node's.

    ``zero`` and ``bias`` are the places of the kernel's zero point and of the bias, of operators in 8 bits.
    """

    operator: str
    places: tuple[int, ...]
    zero: int | None = None
    bias: int | None = None


FORMS = {("", name): Form(name, (0, 1)) for name in COUNTED}
FORMS |= {
    ("", "ConvInteger"): Form("Conv", (0, 1), 3),
    ("", "MatMulInteger"): Form("MatMul", (0, 1), 3),
    ("", "QLinearConv"): Form("Conv", (0, 3), 5, 8),
    ("", "QLinearMatMul"): Form("MatMul", (0, 3), 5),
    (MICROSOFT, "QLinearConv"): Form("Conv", (0, 3), 5, 8),
    (MICROSOFT, "FusedConv"): Form("Conv", (0, 1)),
    (MICROSOFT, "FusedGemm"): Form("Gemm", (0, 1)),
    (MICROSOFT, "FusedMatMul"): Form("MatMul", (0, 1)),
    (MICROSOFT, "QGemm"): Form("Gemm", (0, 3), 5, 6),
    (MICROSOFT, "MatMulIntegerToFloat"): Form("MatMul", (0, 1), 5, 6),
    (MICROSOFT, "DynamicQuantizeMatMul"): Form("MatMul", (0, 1), 3, 4),
    (MICROSOFT, "QLinearAdd"): Form("Add", (0, 3)),
    (MICROSOFT, "QLinearMul"): Form("Mul", (0, 3)),
    (MICROSOFT, "QLinearAveragePool"): Form("AveragePool", (0,)),
    (MICROSOFT, "QLinearGlobalAveragePool"): Form("GlobalAveragePool", (0,)),
}
SAME_SHAPE = "QLinearLeakyRelu QLinearSigmoid QLinearSoftmax QuantizeLinear DequantizeLinear Gelu QuickGelu FastGelu"
FORMS |= {(MICROSOFT, name): Form("Identity", (0,)) for name in SAME_SHAPE.split()}
GEOMETRY = ("transA", "transB", "transBatchA", "transBatchB", "channels_last")
PLAIN_NAMES = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift BitwiseAnd
    BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Compress Concat Constant ConstantOfShape Cos Cosh
    CumSum DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Elu Equal Erf Exp Expand EyeLike
    Flatten Floor Gather GatherElements GatherND Gelu GlobalAveragePool GlobalLpPool GlobalMaxPool Greater
    GreaterOrEqual GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool Max MaxPool MaxRoiPool
    MaxUnpool Mean MeanVarianceNormalization Min Mish Mod Mul Neg NonMaxSuppression NonZero Not OneHot Or PRelu
    Pad Pow QuantizeLinear RMSNormalization Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp
    ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize ReverseSequence
    RoiAlign Round Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax
    Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK Transpose
    Trilu Unique Unsqueeze Upsample Where Xor
"""
PLAIN = frozenset(PLAIN_NAMES.split())

# Operators that multiply in 8 bits, and those that make 8-bit values; DequantizeLinear alone is computed in floats.
IN_8_BITS = re.compile("^QLinear|^QGemm|^QAttention|Integer|^DynamicQuantize(MatMul|LSTM)")
QUANTISING = re.compile("^QuantizeLinear$|^DynamicQuantizeLinear$")


def computes_in_8_bits(proto: ModelProto) -> bool:
    """Whether part of a model does, at any depth: the runtime fuses what lies behind quantising nodes."""
    return any(IN_8_BITS.search(kind) or QUANTISING.search(kind) for kind in {n.op_type for n in all_nodes(proto)})


def name_of(node: NodeProto) -> str:
    """As a person finds it in a viewer."""
    return f"node {node.name or ', '.join(node.output)} ({node.domain + '.' if node.domain else ''}{node.op_type})"


def form_of(node: NodeProto) -> Form | None:
    """How the node counts; None: it is plain.

    Raises:
        UnknownCountError: it may hold a kernel that is not known here.
    """
    domain = "" if node.domain == "ai.onnx" else node.domain
    form = FORMS.get((domain, node.op_type))
    if form is None and (domain or node.op_type not in PLAIN):
        raise UnknownCountError(f"{name_of(node)}: what this operator computes is not known here")
    if form:
        if len(node.input) <= max(form.places) or not node.output:
            raise UnknownCountError(f"{name_of(node)}: inputs or outputs are missing")
        known = defs.get_schema(form.operator).attributes
        if any(a.name in GEOMETRY and a.name not in known and a.i for a in node.attribute):
            raise UnknownCountError(f"{name_of(node)}: its layout is not the standard one")
    return form


def standard(node: NodeProto) -> NodeProto:
    """The node as its standard operator, whose output has the same shape.

    Raises:
        UnknownCountError: as `form_of`.
    """
    made, form = NodeProto(), form_of(node)
    made.CopyFrom(node)
    made.domain = ""
    if form and form.operator != node.op_type:
        known = defs.get_schema(form.operator).attributes
        made.op_type = form.operator
        del made.input[:], made.attribute[:]
        made.input.extend(node.input[place] for place in form.places)
        made.attribute.extend(attribute for attribute in node.attribute if attribute.name in known)
    return made
