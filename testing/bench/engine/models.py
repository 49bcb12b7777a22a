"""The networks of `cargo xtask bench engine`, into the folder given: well-known architectures with seeded random weights,
two networks that packages ship, and int8 versions of them by ONNX Runtime's quantiser.

A network is written once; delete the folder to make all again.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

FOLDER = Path(sys.argv[1])
BATCH, SEQUENCE = 1, 128


class Graph:
    """A graph in the making: every method adds a node and returns the name of its output."""

    def __init__(self, seed):
        self.nodes, self.constants = [], []
        self.random = np.random.default_rng(seed)

    def constant(self, value):
        name = f"w{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weights(self, *shape, deviation):
        return self.constant((self.random.standard_normal(shape) * deviation).astype(np.float32))

    def node(self, operator, *inputs, **attributes):
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=f"{operator}_{len(self.nodes)}", **attributes))
        return name

    def convolution(self, x, channels, outputs, size, stride=1, padding=None, groups=1):
        padding = size // 2 if padding is None else padding
        taps = channels // groups * size * size
        w = self.weights(outputs, channels // groups, size, size, deviation=np.sqrt(2 / taps))
        b = self.weights(outputs, deviation=0.01)
        return self.node(
            "Conv", x, w, b, kernel_shape=[size] * 2, strides=[stride] * 2, pads=[padding] * 4, group=groups
        )

    def dense(self, x, inputs, outputs):
        return self.node(
            "Gemm",
            x,
            self.weights(inputs, outputs, deviation=inputs**-0.5),
            self.weights(outputs, deviation=0.01),
        )

    def save(self, name, x, y, kind=TensorProto.FLOAT):
        """Writes the model with an input `x` of this shape and the output y = (name, shape, and the type if not float)."""
        inputs = [helper.make_tensor_value_info("x", kind, x)]
        outputs = [helper.make_tensor_value_info(y[0], y[2] if len(y) > 2 else TensorProto.FLOAT, y[1])]
        graph = helper.make_graph(self.nodes, name, inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        model = onnx.shape_inference.infer_shapes(model)
        onnx.checker.check_model(model)
        onnx.save(model, FOLDER / f"{name}.onnx")


def mlp(name, sizes, batch=1):
    g, x = Graph(1), "x"
    for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
        x = g.dense(x, inputs, outputs)
        if i < len(sizes) - 2:
            x = g.node("Relu", x)
    g.save(name, [batch, sizes[0]], (x, [batch, sizes[-1]]))


def cnn(name):
    g, x = Graph(2), "x"
    for channels, outputs in [(1, 32), (32, 64)]:
        x = g.node("Relu", g.convolution(x, channels, outputs, 3))
        x = g.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = g.node("Relu", g.dense(g.node("Flatten", x), 64 * 7 * 7, 128))
    g.save(name, [BATCH, 1, 28, 28], (g.node("Softmax", g.dense(x, 128, 10)), [BATCH, 10]))


def mobilenet_v2(name):
    g = Graph(3)
    low, high = g.constant(np.float32(0)), g.constant(np.float32(6))
    relu6 = lambda x: g.node("Clip", x, low, high)
    x, channels = relu6(g.convolution("x", 3, 32, 3, 2)), 32
    stages = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expansion, outputs, blocks, stride in stages:
        for block in range(blocks):
            step, wide = stride if block == 0 else 1, channels * expansion
            y = relu6(g.convolution(x, channels, wide, 1)) if expansion > 1 else x
            y = relu6(g.convolution(y, wide, wide, 3, step, groups=wide))
            y = g.convolution(y, wide, outputs, 1)
            x, channels = g.node("Add", x, y) if step == 1 and channels == outputs else y, outputs
    x = relu6(g.convolution(x, channels, 1280, 1))
    x = g.dense(g.node("Flatten", g.node("GlobalAveragePool", x)), 1280, 1000)
    g.save(name, [BATCH, 3, 224, 224], (x, [BATCH, 1000]))


def resnet(name, blocks, bottleneck):
    g = Graph(4)
    relu = lambda x: g.node("Relu", x)
    x = relu(g.convolution("x", 3, 64, 7, 2, 3))
    x, channels = g.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4), 64
    for stage, count in enumerate(blocks):
        width = 64 << stage
        outputs = width * 4 if bottleneck else width
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            if bottleneck:
                y = relu(g.convolution(x, channels, width, 1))
                y = relu(g.convolution(y, width, width, 3, stride))
                y = g.convolution(y, width, outputs, 1)
            else:
                y = relu(g.convolution(x, channels, width, 3, stride))
                y = g.convolution(y, width, width, 3)
            if stride != 1 or channels != outputs:
                x = g.convolution(x, channels, outputs, 1, stride)
            x, channels = relu(g.node("Add", y, x)), outputs
    x = g.dense(g.node("Flatten", g.node("GlobalAveragePool", x)), channels, 1000)
    g.save(name, [BATCH, 3, 224, 224], (x, [BATCH, 1000]))


def minilm(name, width=384, layers=6, heads=12, hidden=1536, words=30522):
    g, head = Graph(5), width // heads
    one = lambda value: g.constant(np.float32(value))
    ints = lambda *values: g.constant(np.array(values, np.int64))
    dense = lambda x, i, o: g.node(
        "Add", g.node("MatMul", x, g.weights(i, o, deviation=i**-0.5)), g.weights(o, deviation=0.01)
    )
    split, joined = ints(BATCH, SEQUENCE, heads, head), ints(BATCH, SEQUENCE, width)
    scale, half, unit, root = one(head**-0.5), one(0.5), one(1), one(2**0.5)

    def norm(x):
        ones, zeros = g.constant(np.ones(width, np.float32)), g.constant(np.zeros(width, np.float32))
        return g.node("LayerNormalization", x, ones, zeros, axis=-1, epsilon=1e-12)

    def rows(x, order):
        return g.node("Transpose", g.node("Reshape", dense(x, width, width), split), perm=order)

    x = g.node("Gather", g.weights(words, width, deviation=0.05), "x")
    x = norm(g.node("Add", x, g.weights(1, SEQUENCE, width, deviation=0.05)))
    for _ in range(layers):
        q, k, v = rows(x, [0, 2, 1, 3]), rows(x, [0, 2, 3, 1]), rows(x, [0, 2, 1, 3])
        scores = g.node("Softmax", g.node("Mul", g.node("MatMul", q, k), scale))
        y = g.node("Transpose", g.node("MatMul", scores, v), perm=[0, 2, 1, 3])
        x = norm(g.node("Add", dense(g.node("Reshape", y, joined), width, width), x))
        h = dense(x, width, hidden)
        gelu = g.node("Add", g.node("Erf", g.node("Div", h, root)), unit)
        h = g.node("Mul", g.node("Mul", h, gelu), half)
        x = norm(g.node("Add", dense(h, hidden, width), x))
    g.save(name, [BATCH, SEQUENCE], (x, [BATCH, SEQUENCE, width]), TensorProto.INT64)


def gemm(name):
    g = Graph(6)
    y = g.node("MatMul", "x", g.weights(1024, 1024, deviation=1 / 32))
    g.save(name, [1024, 1024], (y, [1024, 1024]))


def gemm_of_bytes(name):
    g = Graph(7)
    w = g.constant(g.random.integers(-127, 128, (1024, 1024)).astype(np.int8))
    y = g.node("MatMulInteger", "x", w, g.constant(np.uint8(128)), g.constant(np.int8(0)))
    g.save(name, [1024, 1024], (y, [1024, 1024], TensorProto.INT32), TensorProto.UINT8)


def shipped(name, package, path):
    """A network from an installed package, which is not run; free dimensions become 1."""
    folder = Path(importlib.util.find_spec(package).submodule_search_locations[0])
    model = onnx.load(folder / path)
    for value in model.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.ClearField("dim_param")
                dim.dim_value = 1
    onnx.save(model, FOLDER / f"{name}.onnx")


class Samples(CalibrationDataReader):
    """Random inputs to calibrate with: the speed of an int8 network does not depend on how good its scales are."""

    def __init__(self, model):
        random = np.random.default_rng(8)
        self.inputs = iter([{value.name: self.tensor(value, random) for value in model.graph.input} for _ in range(2)])

    @staticmethod
    def tensor(value, random):
        kind = value.type.tensor_type
        shape = [dim.dim_value for dim in kind.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
        if np.issubdtype(dtype, np.integer):
            return random.integers(0, 100, shape).astype(dtype)
        return random.standard_normal(shape).astype(dtype)

    def get_next(self):
        return next(self.inputs, None)


def quantise(name, source, form, operators=None):
    """A static int8 version: u8 activations and i8 weights, of all operators that the quantiser knows or of these."""
    path = FOLDER / f"{source}.onnx"
    quantize_static(
        path,
        FOLDER / f"{name}.onnx",
        Samples(onnx.load(path)),
        quant_format=form,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel="mlp" not in source,
        op_types_to_quantize=operators,
    )


QDQ, QOPERATOR = QuantFormat.QDQ, QuantFormat.QOperator
NETWORKS = {
    "mlp-100-64-2": lambda name: mlp(name, [100, 64, 2]),
    "mlp-784-256-10": lambda name: mlp(name, [784, 256, 10]),
    "mlp-784-256-10-batch-64": lambda name: mlp(name, [784, 256, 10], 64),
    "mlp-100-mb": lambda name: mlp(name, [2240] * 6),
    "cnn": cnn,
    "mobilenet-v2": mobilenet_v2,
    "resnet-18": lambda name: resnet(name, [2, 2, 2, 2], False),
    "resnet-50": lambda name: resnet(name, [3, 4, 6, 3], True),
    "minilm": minilm,
    "gemm-1024": gemm,
    "magika": lambda name: shipped(name, "magika", "models/standard_v3_3/model.onnx"),
    "silero-vad": lambda name: shipped(name, "silero_vad", "data/silero_vad_openvino_16k.onnx"),
    "gemm-1024-u8s8": gemm_of_bytes,
    **{
        f"{source}-qdq": lambda name, source=source: quantise(name, source, QDQ)
        for source in [
            "mlp-784-256-10",
            "mlp-784-256-10-batch-64",
            "cnn",
            "mobilenet-v2",
            "resnet-18",
            "resnet-50",
            "minilm",
            "magika",
        ]
    },
    # ONNX's own operators only: whole networks in this form use operators of ONNX Runtime's own
    **{
        f"{source}-qoperator": lambda name, source=source: quantise(name, source, QOPERATOR, ["Conv"])
        for source in ["cnn", "mobilenet-v2", "resnet-18", "resnet-50"]
    },
}

FOLDER.mkdir(parents=True, exist_ok=True)
for name, build in NETWORKS.items():
    if not (FOLDER / f"{name}.onnx").exists():
        print(f"    {name}", flush=True)
        build(name)
