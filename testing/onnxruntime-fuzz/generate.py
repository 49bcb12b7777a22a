"""Random small models with what ONNX Runtime says of them: the cases of `onnxruntime_fuzz.rs`.

    python generate.py FILE [--cases N] [--seed S] [--only KIND] [--case INDEX]

Where ONNX's own tests are thin, chance fills in: every kind of case below draws shapes, attributes and values, special ones among them
(NaN, infinities, -0, subnormals, extremes). A case is a function of the seed and its index alone, so `--case` makes one again: it prints the case, and FILE is its model.

Where ONNX Runtime deviates from ONNX's text, its reference or its tests, or where this engine's arithmetic makes another choice that its
specification states, no case is drawn, and a comment at that place says why.

ONNX Runtime runs with its graph optimisations off. What it refuses is kept as a case too: it must not upset the other side.

The file: for each case its fields, each with its length (u32, little-endian) before it: the name, the model, the tolerance as text
(`relative absolute of_largest`), the number of inputs (u32 as a field) and each as TensorProto, the same for outputs; if ONNX Runtime refuses,
no outputs but a last field with its words.
"""

import argparse
import pathlib
import struct

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

ML = "ai.onnx.ml"
MICROSOFT = "com.microsoft"
KINDS = {}


def kind(function):
    KINDS[function.__name__] = function
    return function


class Draw:
    """Chance, and the model that comes of it."""

    def __init__(self, seed, index):
        self.random = np.random.default_rng([seed, index])
        self.nodes, self.constants, self.inputs, self.outputs = [], [], {}, []
        self.opset, self.ml_opset = 0, None
        self.relative, self.absolute, self.of_largest = 1e-5, 0.0, 0.0

    # numbers

    def integer(self, low, high):
        """From low to high, both included."""
        return int(self.random.integers(low, high + 1))

    def choice(self, values):
        return values[self.integer(0, len(values) - 1)]

    def chance(self, probability):
        return bool(self.random.random() < probability)

    def ints(self, count, low, high):
        return [self.integer(low, high) for _ in range(count)]

    def floats(self, shape, dtype=np.float32, special=None, scale=1.0):
        """Numbers of about `scale`; one tensor in some, or as `special` says, has special values strewn in."""
        shape = tuple(shape)
        values = (self.random.standard_normal(shape) * scale).astype(dtype)
        if special is None:
            special = self.choice([None, None, None, "tame", "tame", "wild"])
        count = values.size
        if special and count:
            strange = [0.0, -0.0, 1e-40, -1e-45, 1.1754944e-38, 1.0, -1.0, 0.5, 1e4, -1e4]
            if special == "wild":
                strange += [np.nan, np.inf, -np.inf]
            for _ in range(self.integer(1, 1 + count // 4)):
                values.flat[self.integer(0, count - 1)] = dtype(self.choice(strange))
        return values

    def extremes(self, shape, dtype=np.float32):
        """Numbers of every size, for what is computed element by element."""
        shape = tuple(shape)
        count = int(np.prod(shape))
        limits = np.finfo(dtype)
        exponents = self.random.uniform(-3, 3, count) if self.chance(0.7) else self.random.uniform(
            np.log10(limits.smallest_normal) + 1, np.log10(limits.max) - 1, count
        )
        values = (self.random.choice([-1.0, 1.0], count) * 10.0**exponents).astype(dtype)
        strange = [0.0, -0.0, limits.max, limits.min, limits.smallest_subnormal, limits.tiny, np.inf, -np.inf, np.nan]
        for _ in range(self.integer(0, 1 + count // 3)):
            if count:
                values[self.integer(0, count - 1)] = dtype(self.choice(strange))
        return values.reshape(shape)

    def bytes(self, shape, dtype):
        """Integers of the whole range, with the ends more often."""
        limits = np.iinfo(dtype)
        values = self.random.integers(limits.min, limits.max, tuple(shape), endpoint=True, dtype=dtype)
        if self.chance(0.3):
            ends = np.where(self.random.random(values.shape) < 0.5, dtype(limits.min), dtype(limits.max))
            values = np.where(self.random.random(values.shape) < 0.5, ends, values)
        return values

    # the model

    def input(self, array, name=None):
        name = name or f"x{len(self.inputs)}"
        self.inputs[name] = np.asarray(array)
        return name

    def constant(self, array, name=None):
        name = name or f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def either(self, array):
        """An input or a constant."""
        return self.input(array) if self.chance(0.5) else self.constant(array)

    def node(self, operator, inputs, outputs=1, domain="", **attributes):
        while inputs and inputs[-1] == "":
            inputs = inputs[:-1]
        attributes = {name: value for name, value in attributes.items() if value is not None}
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)] if isinstance(outputs, int) else outputs
        self.nodes.append(helper.make_node(operator, inputs, names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def model(self):
        produced = [name for node in self.nodes for name in node.output if name]
        read = {name for node in self.nodes for name in node.input}
        outputs = self.outputs or [name for name in produced if name not in read]
        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in self.inputs.items()
        ]
        graph = helper.make_graph(
            self.nodes, "fuzz", inputs, [onnx.ValueInfoProto(name=name) for name in outputs], self.constants
        )
        imports = [helper.make_opsetid("", self.opset)]
        if self.ml_opset:
            imports.append(helper.make_opsetid(ML, self.ml_opset))
        if any(node.domain == MICROSOFT for node in self.nodes):
            imports.append(helper.make_opsetid(MICROSOFT, 1))
        model = helper.make_model(graph, opset_imports=imports, ir_version=8 if self.opset <= 17 else 10)
        try:
            inferred = onnx.shape_inference.infer_shapes(model)
            types = {value.name: value for value in [*inferred.graph.value_info, *inferred.graph.output]}
            for output in model.graph.output:
                elem_type = types[output.name].type.tensor_type.elem_type if output.name in types else 0
                output.type.tensor_type.elem_type = elem_type or self.output_type(output.name)
        except onnx.shape_inference.InferenceError:
            for output in model.graph.output:
                output.type.tensor_type.elem_type = self.output_type(output.name)
        return model

    def output_type(self, name):
        return getattr(self, "types", {}).get(name, TensorProto.FLOAT)

    def sum_of(self, terms, *arrays):
        """Sets the tolerance of a sum of so many products of these: each addition errs by half a unit of the partial sum's last place."""
        size = 1.0
        for array in arrays:
            finite = np.abs(array[np.isfinite(array)].astype(np.float64))
            size *= finite.max() if finite.size else 1.0
        self.absolute = max(self.absolute, float((terms + 4) * size * 2.0**-22))


# convolutions and pooling


def windows(draw, rank, sizes, transposed=False):
    """kernel, strides, dilations, padding of a window over these sizes."""
    kernel = [draw.integer(1, min(4, size)) for size in sizes]
    strides = draw.ints(rank, 1, 3) if draw.chance(0.6) else None
    dilations = draw.ints(rank, 1, 3) if draw.chance(0.4) else None
    pads = auto_pad = None
    way = draw.integer(0, 5)
    if way <= 2:
        pads = [draw.integer(0, min(2, kernel[i % rank] - 1 if not transposed else 2)) for i in range(2 * rank)]
    elif way == 3:
        auto_pad = draw.choice(["SAME_UPPER", "SAME_LOWER"])
    elif way == 4:
        auto_pad = draw.choice(["VALID", "NOTSET"])
    return kernel, strides, dilations, pads, auto_pad


def pool_windows(draw, rank, sizes):
    """Windows that fit, without three things that ONNX Runtime reads otherwise than ONNX: SAME padding of dilated windows, of which it has fewer
    than strides fit, SAME padding of windows shorter than their strides, which it pads by less than nothing, and (see the callers) ceil_mode without padding, where ONNX's text has whole windows only."""
    kernel, strides, dilations, pads, auto_pad = windows(draw, rank, sizes)
    fits = all((k - 1) * d < size for k, d, size in zip(kernel, dilations or [], sizes))
    if auto_pad in ("SAME_UPPER", "SAME_LOWER") or not fits:
        dilations = None
    if auto_pad in ("SAME_UPPER", "SAME_LOWER") and strides:
        strides = [min(step, k) for step, k in zip(strides, kernel)]
    return kernel, strides, dilations, pads, auto_pad


def image(draw, rank=None, channels=None):
    rank = rank or draw.choice([1, 2, 2, 2, 3])
    sizes = draw.ints(rank, 1, {1: 24, 2: 12, 3: 7}[rank])
    return rank, sizes, draw.integer(1, 3)


@kind
def conv(draw):
    draw.opset = draw.choice([7, 11, 13, 17, 22])
    rank, sizes, batch = image(draw)
    group = draw.choice([1, 1, 1, 2, 3, 8])
    each, out = draw.integer(1, 9), draw.integer(1, 9)
    if draw.chance(0.3):
        each = 1
    kernel, strides, dilations, pads, auto_pad = windows(draw, rank, sizes)
    x = draw.floats([batch, group * each, *sizes])
    w = draw.floats([group * out, each, *kernel])
    inputs = [draw.input(x), draw.either(w)]
    if draw.chance(0.6):
        inputs.append(draw.either(draw.floats([group * out])))
        draw.absolute = 1e-5
    draw.sum_of(each * np.prod(kernel), x, w)
    draw.node(
        "Conv", inputs, group=group if group > 1 or draw.chance(0.5) else None,
        kernel_shape=kernel if draw.chance(0.7) else None, strides=strides, dilations=dilations, pads=pads, auto_pad=auto_pad,
    )


@kind
def conv_transpose(draw):
    draw.opset = draw.choice([7, 11, 17, 22])
    rank, sizes, batch = image(draw)
    group = draw.choice([1, 1, 2, 3])
    each, out = draw.integer(1, 6), draw.integer(1, 6)
    kernel, strides, dilations, pads, auto_pad = windows(draw, rank, sizes, transposed=True)
    attributes = {}
    steps = strides or [1] * rank
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        # Where windows leave gaps, the output is larger than what they cover: ONNX says so, ONNX Runtime does not.
        steps = strides = [min(step, k) for step, k in zip(steps, kernel)]
    elif draw.chance(0.3):
        limit = [max(step, dilation) - 1 for step, dilation in zip(steps, dilations or [1] * rank)]
        attributes["output_padding"] = [draw.integer(0, top) for top in limit]
    if draw.chance(0.25):
        natural = [
            steps[i] * (sizes[i] - 1) + (kernel[i] - 1) * (dilations or [1] * rank)[i] + 1 for i in range(rank)
        ]
        attributes["output_shape"] = [max(1, size - draw.integer(0, 2)) for size in natural]
        if pads and draw.chance(0.5):
            pads = None
    x = draw.floats([batch, group * each, *sizes])
    # Infinite weights make NaNs where no element of x lies under them: here zeros between elements are multiplied, elsewhere skipped.
    w = draw.floats([group * each, out, *kernel], special=draw.choice([False, "tame"]))
    inputs = [draw.input(x), draw.either(w)]
    if draw.chance(0.5):
        inputs.append(draw.either(draw.floats([group * out])))
        draw.absolute = 1e-5
    draw.sum_of(each * np.prod(kernel), x, w)
    draw.node(
        "ConvTranspose", inputs, group=group if group > 1 else None, kernel_shape=kernel if draw.chance(0.7) else None,
        strides=strides, dilations=dilations, pads=pads, auto_pad=auto_pad, **attributes,
    )


@kind
def max_pool(draw):
    draw.opset = draw.choice([8, 10, 12, 17, 22])
    rank, sizes, batch = image(draw)
    kernel, strides, dilations, pads, auto_pad = pool_windows(draw, rank, sizes)
    dtype = draw.choice([np.float32, np.float32, np.float64, np.int8, np.uint8] if draw.opset >= 12 else [np.float32])
    shape = [batch, draw.integer(1, 4), *sizes]
    # No NaN, which spreads here and is passed over by ONNX Runtime.
    special = draw.choice([False, "tame"])
    x = draw.bytes(shape, dtype) if dtype in (np.int8, np.uint8) else draw.floats(shape, dtype, special)
    draw.node(
        "MaxPool", [draw.input(x)], outputs=draw.choice([1, 1, 2]), kernel_shape=kernel, strides=strides,
        dilations=dilations if draw.opset >= 10 else None, pads=pads, auto_pad=auto_pad,
        ceil_mode=draw.choice([None, 0, 1]) if draw.opset >= 10 and auto_pad != "VALID" else None,
        storage_order=draw.choice([None, None, 0, 1]),
    )


@kind
def average_pool(draw):
    draw.opset = draw.choice([7, 10, 11, 19, 22])
    rank, sizes, batch = image(draw)
    kernel, strides, dilations, pads, auto_pad = pool_windows(draw, rank, sizes)
    x = draw.floats([batch, draw.integer(1, 4), *sizes])
    draw.sum_of(np.prod(kernel), x)
    draw.node(
        "AveragePool", [draw.input(x)], kernel_shape=kernel, strides=strides, pads=pads, auto_pad=auto_pad,
        dilations=dilations if draw.opset >= 19 else None,
        ceil_mode=draw.choice([None, 0, 1]) if draw.opset >= 10 and auto_pad != "VALID" else None,
        count_include_pad=draw.choice([None, 0, 1]),
    )


@kind
def other_pools(draw):
    draw.opset = draw.choice([11, 18, 22])
    rank, sizes, batch = image(draw)
    operator = draw.choice(["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", "LpPool"])
    x = draw.floats([batch, draw.integer(1, 4), *sizes], special=draw.choice([False, "tame"]) if operator == "GlobalMaxPool" else None)
    draw.sum_of(np.prod(sizes), x)
    if operator == "LpPool":
        kernel, strides, dilations, pads, auto_pad = pool_windows(draw, rank, sizes)
        modern = draw.opset >= 18
        draw.node(
            operator, [draw.input(x)], kernel_shape=kernel, strides=strides, pads=pads, auto_pad=auto_pad, p=draw.choice([None, 1, 2, 3]),
            dilations=dilations if modern else None, ceil_mode=draw.choice([None, 0, 1]) if modern and auto_pad != "VALID" else None,
        )
    else:
        draw.node(operator, [draw.input(x)], p=draw.choice([None, 1, 2, 3]) if operator == "GlobalLpPool" else None)
    if operator in ("LpPool", "GlobalLpPool"):
        draw.relative, draw.absolute = 1e-4, draw.absolute + 1e-5


# quantised


def scale(draw, shape=()):
    return (2.0 ** draw.random.uniform(-8, 3, shape)).astype(np.float32)


def zero_point(draw, dtype, shape=()):
    limits = np.iinfo(dtype)
    if draw.chance(0.3):
        return np.zeros(shape, dtype)
    return draw.random.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)


@kind
def conv_integer(draw):
    draw.opset = draw.choice([10, 17])
    rank, sizes, batch = image(draw)
    group = draw.choice([1, 1, 2, 4])
    each, out = draw.integer(1, 9), draw.integer(1, 9)
    kernel, strides, dilations, pads, auto_pad = windows(draw, rank, sizes)
    xt, wt = draw.choice([(np.uint8, np.uint8), (np.uint8, np.int8), (np.int8, np.int8), (np.int8, np.uint8)])
    inputs = [draw.input(draw.bytes([batch, group * each, *sizes], xt)), draw.either(draw.bytes([group * out, each, *kernel], wt))]
    if draw.chance(0.7):
        inputs.append(draw.either(zero_point(draw, xt)))
        if draw.chance(0.5):
            # One zero point: ONNX Runtime takes no other here.
            inputs.append(draw.either(zero_point(draw, wt)))
    draw.node(
        "ConvInteger", inputs, group=group if group > 1 else None, kernel_shape=kernel if draw.chance(0.7) else None,
        strides=strides, dilations=dilations, pads=pads, auto_pad=auto_pad,
    )


@kind
def q_linear_conv(draw):
    draw.opset = draw.choice([10, 17])
    rank, sizes, batch = image(draw)
    group = draw.choice([1, 1, 2, 4])
    each, out = draw.integer(1, 9), draw.integer(1, 9)
    kernel, strides, dilations, pads, auto_pad = windows(draw, rank, sizes)
    xt, wt = draw.choice([(np.uint8, np.uint8), (np.uint8, np.int8), (np.int8, np.int8)])
    channels = () if draw.chance(0.5) else (group * out,)
    inputs = [
        draw.input(draw.bytes([batch, group * each, *sizes], xt)),
        draw.constant(scale(draw)), draw.constant(zero_point(draw, xt)),
        draw.either(draw.bytes([group * out, each, *kernel], wt)),
        draw.constant(scale(draw, channels)), draw.constant(np.full(channels, zero_point(draw, wt))),
        draw.constant(scale(draw) * np.float32(64)), draw.constant(zero_point(draw, xt)),
    ]
    if draw.chance(0.5):
        inputs.append(draw.constant(draw.random.integers(-(2**15), 2**15, group * out).astype(np.int32)))
    draw.node(
        "QLinearConv", inputs, group=group if group > 1 else None, kernel_shape=kernel if draw.chance(0.7) else None,
        strides=strides, dilations=dilations, pads=pads, auto_pad=auto_pad,
    )


def factors(draw):
    """Shapes of two factors of a matrix product, with NumPy's broadcasting."""
    m, k, n = draw.integer(1, 12), draw.choice([1, 2, 5, 16, 33, 70]), draw.integer(1, 18)
    common = draw.ints(draw.choice([0, 0, 1, 2]), 1, 3)
    a, b = [*common, m, k], [*common, k, n]
    if common and draw.chance(0.4):
        b = b[draw.integer(1, len(common)):]
    if common and draw.chance(0.3):
        a[0] = 1
    return a, b, k


@kind
def mat_mul(draw):
    draw.opset = draw.choice([7, 9, 13])
    dtype = draw.choice([np.float32, np.float32, np.float32, np.float64, np.int32] if draw.opset >= 9 else [np.float32])
    a, b, k = factors(draw)
    if draw.chance(0.15):
        a = a[-1:]
    elif draw.chance(0.15):
        b = [k]
    if dtype == np.int32:
        left, right = (draw.random.integers(-(2**31), 2**31, shape).astype(dtype) for shape in (a, b))
    else:
        left, right = draw.floats(a, dtype), draw.floats(b, dtype)
        draw.sum_of(k, left, right)
    draw.node("MatMul", [draw.input(left), draw.either(right)])


@kind
def gemm(draw):
    draw.opset = draw.choice([7, 9, 11, 13])
    m, k, n = draw.integer(1, 12), draw.choice([1, 2, 5, 16, 33, 70]), draw.integer(1, 18)
    trans_a, trans_b = draw.integer(0, 1), draw.integer(0, 1)
    a = draw.floats([k, m] if trans_a else [m, k])
    b = draw.floats([n, k] if trans_b else [k, n])
    inputs = [draw.input(a), draw.either(b)]
    draw.sum_of(k, a, b)
    draw.absolute = 4 * draw.absolute + 1e-5
    beta = draw.choice([None, 0.25, -1.0, 0.0])
    if draw.opset < 11 or draw.chance(0.7):
        shape = draw.choice([[m, n], [n], [1, n], [m, 1], [1], [1, 1], []])
        # ONNX's formula multiplies by a beta of 0; ONNX Runtime does not read what it multiplies.
        inputs.append(draw.either(draw.floats(shape, special=False if beta == 0.0 else None)))
    draw.node(
        "Gemm", inputs, transA=trans_a or None, transB=trans_b or None, alpha=draw.choice([None, 0.5, -2.0, 0.0]),
        beta=beta,
    )


@kind
def mat_mul_integer(draw):
    draw.opset = draw.choice([10, 17])
    a, b, _ = factors(draw)
    at, bt = draw.choice([(np.uint8, np.uint8), (np.uint8, np.int8), (np.int8, np.int8)])
    inputs = [draw.input(draw.bytes(a, at)), draw.either(draw.bytes(b, bt))]
    if draw.chance(0.7):
        inputs.append(draw.either(zero_point(draw, at)))
        if draw.chance(0.6):
            shape = draw.choice([(), (b[-1],)]) if len(b) == 2 else ()
            inputs.append(draw.either(zero_point(draw, bt, shape)))
    draw.node("MatMulInteger", inputs)


@kind
def q_linear_mat_mul(draw):
    draw.opset = draw.choice([10, 17, 21])
    a, b, _ = factors(draw)
    at, bt = draw.choice([(np.uint8, np.uint8), (np.uint8, np.int8), (np.int8, np.int8)])
    columns = draw.choice([(), (b[-1],)]) if len(b) == 2 else ()
    draw.node(
        "QLinearMatMul",
        [
            draw.input(draw.bytes(a, at)), draw.constant(scale(draw)), draw.constant(zero_point(draw, at)),
            draw.either(draw.bytes(b, bt)), draw.constant(scale(draw, columns)), draw.constant(zero_point(draw, bt, columns)),
            draw.constant(scale(draw) * np.float32(64)), draw.constant(zero_point(draw, at)),
        ],
    )


def quantised_shape(draw):
    """A shape, and the shape of its scales with the attributes that say so."""
    shape = draw.ints(draw.integer(1, 4), 1, 6)
    way = draw.integer(0, 2)
    if way == 0:
        return shape, (), {}
    axis = draw.integer(0, len(shape) - 1)
    if way == 1 or draw.opset < 21:
        name = {"axis": axis if draw.chance(0.6) else axis - len(shape)}
        if draw.opset < 13:
            return shape, (), {}
        return shape, (shape[axis],), name
    block = draw.integer(1, 3)
    shape[axis] = block * draw.integer(1, 4)
    scales = list(shape)
    scales[axis] //= block
    return shape, tuple(scales), {"axis": axis, "block_size": block}


@kind
def quantize_linear(draw):
    draw.opset = draw.choice([10, 13, 19, 21])
    shape, scales, attributes = quantised_shape(draw)
    dtype = draw.choice([np.uint8, np.int8] + ([np.uint16, np.int16] if draw.opset >= 21 else []))
    x = draw.floats(shape, scale=draw.choice([1, 30, 1000]))
    s = scale(draw, scales)
    if draw.chance(0.4):
        # Ties.
        s = np.full(scales, 0.5, np.float32)
        x = (draw.random.integers(-600, 600, shape) * 0.25).astype(np.float32)
    if draw.opset < 19 and draw.chance(0.15):
        x = draw.random.integers(-(2**31), 2**31, shape).astype(np.int32)
    x = np.where(np.isnan(x), np.float32(0), x).astype(x.dtype) if x.dtype == np.float32 else x
    inputs = [draw.input(x), draw.either(s)]
    if dtype != np.uint8 or draw.chance(0.7):
        inputs.append(draw.either(zero_point(draw, dtype, scales)))
    draw.types = {"v0_0": helper.np_dtype_to_tensor_dtype(np.dtype(dtype))}
    draw.node("QuantizeLinear", inputs, **attributes)


@kind
def dequantize_linear(draw):
    draw.opset = draw.choice([10, 13, 19, 21])
    shape, scales, attributes = quantised_shape(draw)
    dtype = draw.choice([np.uint8, np.int8, np.int32] + ([np.uint16, np.int16] if draw.opset >= 21 else []))
    inputs = [draw.input(draw.bytes(shape, dtype)), draw.either(scale(draw, scales))]
    if draw.chance(0.7):
        zero = np.zeros(scales, dtype) if dtype == np.int32 else zero_point(draw, dtype, scales)
        inputs.append(draw.either(zero))
    draw.relative = 0.0
    draw.node("DequantizeLinear", inputs, **attributes)


@kind
def dynamic_quantize_linear(draw):
    draw.opset = draw.choice([11, 17])
    x = draw.floats(draw.ints(draw.integer(1, 3), 1, 9), special=draw.choice([False, "tame"]), scale=draw.choice([1e-3, 1, 50]))
    if not x.any():
        # ONNX's formula gives a scale of 0, ONNX Runtime has 1.
        x.flat[0] = 1
    draw.types = {"v0_0": TensorProto.UINT8, "v0_2": TensorProto.UINT8}
    draw.relative = 0.0
    draw.node("DynamicQuantizeLinear", [draw.input(x)], outputs=3)


@kind
def quantised_layer(draw):
    """As quantisers write it: dequantised data and weights, a product, quantised again."""
    draw.opset = draw.choice([13, 19])
    dtype = draw.choice([np.uint8, np.int8])
    zero = zero_point(draw, dtype)
    wide = draw.chance(0.5)
    batch, inner, outer = draw.integer(1, 3), draw.choice([3, 16, 40]), draw.integer(1, 9)
    if draw.chance(0.5):
        shape, weights = [batch, inner, 5, 6], [outer, inner, 3, 3] if wide else [outer, inner, 1, 1]
        operator, axis, bias = "Conv", 0, [outer]
    else:
        shape, weights = [batch, inner], [inner, outer]
        operator, axis, bias = draw.choice([("Gemm", 1, [outer]), ("MatMul", 1, None)])
    x = draw.node("DequantizeLinear", [draw.input(draw.bytes(shape, dtype)), draw.constant(np.float32(2.0**-5)), draw.constant(zero)])
    per_channel = draw.chance(0.5)
    scales = 2.0 ** draw.random.integers(-9, -5, (outer,) if per_channel else ()).astype(np.float64)
    w = draw.node(
        "DequantizeLinear",
        [draw.constant(draw.bytes(weights, np.int8)), draw.constant(scales.astype(np.float32)), draw.constant(np.zeros(scales.shape, np.int8))],
        axis=axis if per_channel else None,
    )
    inputs = [x, w]
    if bias and draw.chance(0.6):
        # Powers of two all the way: sums are exact, so that the last rounding has no excuse.
        inputs.append(draw.constant((draw.random.integers(-500, 500, bias) * 2.0**-12).astype(np.float32)))
    y = draw.node(operator, inputs, pads=[1, 1, 1, 1] if operator == "Conv" and wide else None)
    if draw.chance(0.4):
        y = draw.node("Relu", [y])
    draw.types = {f"v{len(draw.nodes)}_0": helper.np_dtype_to_tensor_dtype(np.dtype(dtype))}
    draw.node("QuantizeLinear", [y, draw.constant(np.float32(2.0 ** draw.integer(-4, 1))), draw.constant(zero_point(draw, dtype))])


# shapes and images


@kind
def resize(draw):
    draw.opset = draw.choice([11, 13, 18, 19])
    rank = draw.choice([2, 3, 4, 4, 4, 5])
    shape = draw.ints(rank, 1, 3)
    space = min(draw.choice([1, 2, 2, 3]), rank)
    for axis in range(rank - space, rank):
        shape[axis] = draw.integer(1, 9)
    modern = draw.opset >= 18
    mode = draw.choice(["nearest", "linear", "linear", "cubic"])
    transformation = draw.choice(
        [None, "half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize"]
        + (["half_pixel_symmetric"] if draw.opset >= 19 else [])
    )
    # No infinities: with a weight of 0 they are NaN in one order of the axes and not in another.
    x = draw.floats(shape, special=draw.choice([False, "tame"]))
    draw.absolute = 2e-5 * float(np.abs(x[np.isfinite(x)]).max(initial=0.0))
    axes = list(range(rank - space, rank)) if modern and draw.chance(0.5) else None
    changed = space if axes else rank
    scales, sizes = "", ""
    # With scales, ONNX has the output of a crop shrink with the region of interest; ONNX Runtime does not.
    if transformation != "tf_crop_and_resize" and draw.chance(0.5):
        # The length that these speak of is the scaled one, a fraction in ONNX's tests; in ONNX Runtime it is whole.
        whole = transformation in ("align_corners", "half_pixel_symmetric", "pytorch_half_pixel")
        whole_scales, simple = [1.0, 2.0, 3.0], [0.5, 1.0, 1.5, 2.0, 3.0]
        # The nearest of two equally near ones depends on the last bit of the coordinate.
        choices = whole_scales if whole else simple if mode == "nearest" else [*simple, 0.6, 2.3]
        values = [draw.choice(choices) for _ in range(space)]
        values = [max(value, 1.0 / shape[rank - space + i] + 1e-3) for i, value in enumerate(values)]
        scales = draw.constant(np.array([1.0] * (changed - space) + values, np.float32))
    else:
        values = [draw.integer(1, 13) for _ in range(space)]
        if transformation == "tf_crop_and_resize":
            # ONNX Runtime's cubic mode does not look at the region where the size stays.
            values = [value + (value == shape[rank - space + i]) for i, value in enumerate(values)]
        sizes = draw.constant(np.array(shape[rank - changed : rank - space] + values, np.int64))
        if draw.opset < 13:
            scales = draw.constant(np.array([], np.float32))
    region = ""
    if transformation == "tf_crop_and_resize":
        lows, highs = draw.random.uniform(-0.2, 0.4, space), draw.random.uniform(0.6, 1.3, space)
        fixed = changed - space
        region = draw.constant(np.array([0.0] * fixed + [*lows] + [1.0] * fixed + [*highs], np.float32))
    elif draw.opset < 13:
        region = draw.constant(np.array([], np.float32))
    policies = [None, None, "stretch", "not_larger", "not_smaller"]
    policy = draw.choice(policies) if modern and sizes and not region and mode != "nearest" else None
    draw.node(
        "Resize", [draw.input(x), region, scales, sizes], mode=mode, coordinate_transformation_mode=transformation, axes=axes,
        nearest_mode=draw.choice([None, "round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]) if mode == "nearest" else None,
        cubic_coeff_a=draw.choice([None, -0.5]) if mode == "cubic" else None,
        exclude_outside=draw.choice([None, 0, 1]) if mode == "cubic" else None,
        extrapolation_value=draw.choice([None, 7.0]) if transformation == "tf_crop_and_resize" else None,
        antialias=draw.choice([None, 0, 1]) if modern and mode != "nearest" else None, keep_aspect_ratio_policy=policy,
    )


@kind
def pad(draw):
    draw.opset = draw.choice([11, 13, 18, 19, 21])
    shape = draw.ints(draw.integer(1, 4), 1, 6)
    mode = draw.choice(["constant", "reflect", "edge"] + (["wrap"] if draw.opset >= 19 else []))
    axes = None
    rank = len(shape)
    if draw.opset >= 18 and draw.chance(0.4):
        axes = sorted(draw.random.permutation(rank)[: draw.integer(1, rank)].tolist())
    covered = axes if axes is not None else list(range(rank))
    def amount(axis):
        most = shape[axis] - 1 if mode == "reflect" else 4
        return draw.integer(-1 if shape[axis] > 3 and mode != "wrap" else 0, min(4, most))
    pads = [amount(axis) for axis in covered] + [amount(axis) for axis in covered]
    dtype = draw.choice([np.float32, np.float32, np.int64, np.uint8, np.float64])
    x = draw.floats(shape, dtype) if np.issubdtype(dtype, np.floating) else draw.bytes(shape, dtype)
    inputs = [draw.input(x), draw.constant(np.array(pads, np.int64)), "", ""]
    if mode == "constant" and draw.chance(0.6):
        inputs[2] = draw.constant(np.array(draw.choice([0, 1, 7]), dtype))
    if axes is not None:
        inputs[3] = draw.constant(np.array(axes if draw.chance(0.5) else [axis - rank for axis in axes], np.int64))
    draw.node("Pad", inputs, mode=mode if mode != "constant" or draw.chance(0.5) else None)


@kind
def reduce(draw):
    operator = draw.choice(
        ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare"]
    )
    draw.opset = draw.choice([7, 11, 13, 18, 20])
    dtype = draw.choice([np.float32, np.float32, np.float32, np.float64, np.int32, np.int64])
    if operator.startswith("Log") and dtype not in (np.float32, np.float64):
        dtype = np.float32
    shape = draw.ints(draw.integer(1, 4), 1, draw.choice([4, 9]))
    rank = len(shape)
    if np.issubdtype(dtype, np.floating):
        special = draw.choice([None, "tame", "wild"])
        x = draw.floats(shape, dtype, special=special)
        if operator in ("Max", "Min", "LogSumExp"):
            # In ONNX Runtime it depends on a NaN's place whether it counts.
            x = np.where(np.isnan(x), dtype(0), x)
        if operator == "LogSum":
            x = np.abs(x) + dtype(0.1)
        draw.sum_of(x.size, x)
        if operator in ("L2", "LogSum", "LogSumExp", "SumSquare", "Prod"):
            draw.relative = 1e-4 if operator != "LogSumExp" else 2e-5
            draw.absolute = 1e-5 if operator != "SumSquare" else 0.0
    else:
        most = 1 if operator == "Prod" else 50
        x = draw.random.integers(-most, most, shape, endpoint=True).astype(dtype)
    axes = sorted(draw.random.permutation(rank)[: draw.integer(1, rank)].tolist())
    axes = [axis if draw.chance(0.7) else axis - rank for axis in axes]
    as_input = draw.opset >= (13 if operator == "Sum" else 18)
    given = draw.chance(0.8)
    attributes = {"keepdims": draw.choice([None, 0, 1])}
    inputs = [draw.input(x)]
    if as_input:
        if given:
            inputs.append(draw.constant(np.array(axes, np.int64)))
        attributes["noop_with_empty_axes"] = draw.choice([None, None, 0, 1])
    elif given:
        attributes["axes"] = axes
    draw.node("Reduce" + operator, inputs, **attributes)


@kind
def arg_extreme(draw):
    draw.opset = draw.choice([11, 12, 13])
    shape = draw.ints(draw.integer(1, 4), 1, 6)
    dtype = draw.choice([np.float32, np.float32, np.int32, np.float64])
    x = draw.random.integers(-3, 4, shape).astype(dtype)
    axis = draw.integer(0, len(shape) - 1)
    draw.types = {"v0_0": TensorProto.INT64}
    draw.node(
        draw.choice(["ArgMax", "ArgMin"]), [draw.input(x)], axis=draw.choice([None, axis, axis - len(shape)]),
        keepdims=draw.choice([None, 0, 1]), select_last_index=draw.choice([None, 0, 1]) if draw.opset >= 12 else None,
    )


@kind
def top_k(draw):
    draw.opset = draw.choice([11, 13])
    shape = draw.ints(draw.integer(1, 3), 1, 9)
    axis = draw.integer(0, len(shape) - 1)
    dtype = draw.choice([np.float32, np.float32, np.int64, np.float64])
    x = draw.random.integers(-4, 5, shape).astype(dtype)
    k = draw.integer(1, shape[axis])
    draw.types = {"v0_1": TensorProto.INT64}
    draw.node(
        "TopK", [draw.input(x), draw.constant(np.array([k], np.int64))], outputs=2, axis=draw.choice([axis, axis - len(shape)]),
        largest=draw.choice([None, 0, 1]), sorted=draw.choice([None, 1]),
    )


# element by element


UNARY = {
    "Abs": 13, "Neg": 13, "Sqrt": 13, "Exp": 13, "Log": 13, "Reciprocal": 13, "Floor": 13, "Ceil": 13, "Round": 11, "Sign": 13,
    "Erf": 13, "Sigmoid": 13, "Tanh": 13, "Relu": 14, "LeakyRelu": 16, "Elu": 6, "Selu": 6, "Celu": 12, "HardSigmoid": 6, "HardSwish": 14,
    "Softplus": 1, "Softsign": 1, "ThresholdedRelu": 10, "Mish": 18, "Gelu": 20, "Sin": 7, "Cos": 7, "Tan": 7, "Asin": 7, "Acos": 7,
    "Atan": 7, "Sinh": 9, "Cosh": 9, "Asinh": 9, "Acosh": 9, "Atanh": 9, "IsNaN": 13, "IsInf": 10, "Identity": 13,
}


@kind
def unary(draw):
    operator = draw.choice(list(UNARY))
    draw.opset = max(UNARY[operator], draw.choice([13, 17, 20]))
    x = draw.extremes(draw.ints(draw.integer(1, 3), 1, 9))
    draw.relative, draw.absolute = 1e-5, 1e-7
    if operator in ("Mish", "Gelu"):
        # At -infinity: the limit, 0, here; -infinity times 0 in ONNX Runtime.
        x = np.where(x == -np.inf, np.float32(-1), x)
    if operator in ("Sin", "Cos", "Tan"):
        x = np.where(np.abs(x) > 1e4, np.float32(1), x)
    if operator in ("Erf", "Gelu", "Mish", "Softplus", "Asinh", "Acosh", "Atanh", "Sinh", "Selu", "Elu", "Celu"):
        draw.relative, draw.absolute = 2e-4, 2e-6
    attributes = {}
    if operator in ("LeakyRelu", "Elu", "ThresholdedRelu", "Celu"):
        attributes["alpha"] = draw.choice([None, 0.5, 2.0])
    if operator == "HardSigmoid":
        attributes = {"alpha": draw.choice([None, 0.5]), "beta": draw.choice([None, 0.25])}
    if operator == "Gelu":
        attributes["approximate"] = draw.choice([None, "none", "tanh"])
    if operator == "IsInf":
        attributes = {"detect_negative": draw.choice([None, 0, 1]), "detect_positive": draw.choice([None, 0, 1])}
    if operator in ("IsNaN", "IsInf"):
        draw.types = {"v0_0": TensorProto.BOOL}
    draw.node(operator, [draw.input(x)], **attributes)


def broadcast(draw, count=2):
    shape = draw.ints(draw.integer(0, 4), 1, 5)
    shapes = []
    for _ in range(count):
        own = [size if draw.chance(0.75) else 1 for size in shape]
        shapes.append(own[draw.integer(0, len(own)) if draw.chance(0.3) else 0 :])
    return shapes


@kind
def binary(draw):
    operator = draw.choice(["Add", "Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min", "PRelu", "Mean", "Sum", "Where", "Clip", "Equal", "Less",
                            "Greater", "LessOrEqual", "GreaterOrEqual", "And", "Or", "Xor", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor"])
    draw.opset = 18 if operator.startswith("Bitwise") else draw.choice([16, 17, 18])
    a, b = broadcast(draw)
    draw.relative = 1e-5
    if operator in ("And", "Or", "Xor"):
        arrays = [draw.random.random(shape) < 0.5 for shape in (a, b)]
    elif operator in ("BitShift",):
        arrays = [draw.bytes(a, np.uint32), draw.random.integers(0, 32, b).astype(np.uint32)]
    elif operator.startswith("Bitwise"):
        arrays = [draw.bytes(shape, np.int32) for shape in (a, b)]
    elif operator in ("PRelu", "Mean", "Sum", "Pow"):
        arrays = [draw.extremes(shape) for shape in (a, b)]
        if operator == "PRelu":
            # The slope broadcasts to x, x not to the slope.
            shape = [max(sizes) for sizes in zip([1] * (len(b) - len(a)) + a, [1] * (len(a) - len(b)) + b)]
            arrays[0] = draw.extremes(shape)
        if operator == "Pow":
            arrays = [draw.floats(a, special="tame"), draw.choice([draw.floats(b), draw.random.integers(-4, 5, b).astype(np.float32)])]
            draw.relative = 1e-4
        if operator in ("Mean", "Sum"):
            draw.sum_of(2, *[draw.floats([1])])
    else:
        dtype = draw.choice([np.float32, np.float32, np.float64, np.int32, np.int64])
        if operator == "Mod" and np.issubdtype(dtype, np.floating):
            dtype = np.float32
        if np.issubdtype(dtype, np.floating):
            arrays = [draw.extremes(shape, dtype) for shape in (a, b)]
        else:
            arrays = [draw.random.integers(-(2**31), 2**31, shape).astype(dtype) for shape in (a, b)]
            if operator in ("Div", "Mod"):
                arrays[1] = np.where(np.isin(arrays[1], (0, -1)), 3, arrays[1]).astype(dtype)
                if draw.chance(0.5):
                    arrays[1] = (arrays[1] % 7 + 1).astype(dtype)
    attributes, inputs = {}, [draw.either(array) for array in arrays]
    if not draw.inputs:
        draw.constants, inputs = [], [draw.input(arrays[0]), draw.constant(arrays[1])]
    if operator == "Mod":
        attributes["fmod"] = 1 if np.issubdtype(arrays[0].dtype, np.floating) else draw.choice([None, 0, 1])
    if operator == "BitShift":
        attributes["direction"] = draw.choice(["LEFT", "RIGHT"])
    if operator == "Where":
        inputs.insert(0, draw.input(draw.random.random(broadcast(draw, 1)[0][:0] or (1,)) < 0.5))
    if operator == "Clip":
        # A bound that is left out is none; ONNX Runtime has the greatest finite number.
        draw.inputs, draw.constants = {}, []
        inputs[0] = draw.input(np.nan_to_num(arrays[0]) if np.issubdtype(arrays[0].dtype, np.floating) else arrays[0])
        low, high = arrays[1].dtype.type(-2), arrays[1].dtype.type(3)
        inputs = [inputs[0], draw.constant(low) if draw.chance(0.7) else "", draw.constant(high) if draw.chance(0.7) else ""]
    draw.node(operator, inputs, **attributes)


@kind
def cast(draw):
    draw.opset = draw.choice([9, 13, 19])
    types = [np.float32, np.float64, np.float16, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.bool_]
    source, target = draw.choice(types), draw.choice(types)
    shape = draw.ints(draw.integer(1, 3), 1, 9)
    if source == np.bool_:
        x = draw.random.random(shape) < 0.5
    elif np.issubdtype(source, np.floating):
        if np.issubdtype(target, np.floating) or target == np.bool_:
            with np.errstate(all="ignore"):
                x = draw.extremes(shape).astype(source)
        else:
            # Within the target's range: beyond it ONNX leaves the result open.
            low = -100 if np.issubdtype(target, np.signedinteger) else 0
            x = draw.random.uniform(low, 100, shape).astype(source)
    else:
        x = draw.bytes(shape, source)
    draw.relative = 0.0
    draw.node("Cast", [draw.input(x)], to=int(helper.np_dtype_to_tensor_dtype(np.dtype(target))))


# norms


@kind
def softmax(draw):
    draw.opset = draw.choice([7, 11, 13])
    shape = draw.ints(draw.integer(1, 4), 1, 8)
    axis = draw.integer(0, len(shape) - 1)
    x = draw.floats(shape, special=draw.choice([None, "tame", None, "wild"]), scale=draw.choice([1, 30]))
    if draw.chance(0.2):
        x = np.where(x > 0.5, np.float32(-np.inf), x)
    draw.relative, draw.absolute = 2e-5, 1e-6
    operator = draw.choice(["Softmax", "LogSoftmax", "Hardmax"])
    if operator == "Hardmax":
        x = np.nan_to_num(x)
    if operator == "LogSoftmax":
        draw.absolute = 1e-5 * float(np.abs(x[np.isfinite(x)]).max(initial=1.0))
    draw.node(operator, [draw.input(x)], axis=draw.choice([None, axis] + ([axis - len(shape)] if draw.opset >= 11 else [])))


@kind
def normalization(draw):
    operator = draw.choice(["BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization", "LRN", "LpNormalization",
                            "MeanVarianceNormalization"])
    draw.opset = {"LayerNormalization": 17, "GroupNormalization": 21}.get(operator, draw.choice([9, 14, 15, 17]))
    batch, channels = draw.integer(1, 3), draw.choice([1, 2, 4, 6])
    space = draw.ints(draw.choice([1, 2, 2, 3]), 2, 6)
    # ONNX Runtime slides LRN's sum along the channels: what is large or infinite stays in it.
    x = draw.floats([batch, channels, *space], special=False if operator == "LRN" else draw.choice([None, "tame", "wild"]))
    draw.relative, draw.absolute = 1e-4, 2e-4
    per_channel = [draw.floats([channels], special=False) for _ in range(2)]
    attributes = {"epsilon": draw.choice([None, 1e-3])}
    inputs = [draw.input(x)]
    if operator == "BatchNormalization":
        draw.absolute = 1e-5
        mean, variance = draw.floats([channels], special=False), np.abs(draw.floats([channels], special=False)) + np.float32(0.1)
        inputs += [draw.either(array) for array in (*per_channel, mean, variance)]
    elif operator in ("InstanceNormalization", "GroupNormalization"):
        inputs += [draw.either(array) for array in per_channel]
        if operator == "GroupNormalization":
            attributes["num_groups"] = draw.choice([g for g in (1, 2, 3) if channels % g == 0])
    elif operator == "LayerNormalization":
        axis = draw.integer(1, x.ndim - 1)
        inputs.append(draw.either(draw.floats(x.shape[axis:], special=False)))
        if draw.chance(0.6):
            inputs.append(draw.either(draw.floats(x.shape[axis:], special=False)))
        attributes["axis"] = draw.choice([axis, axis - x.ndim])
    elif operator == "LRN":
        attributes = {"size": draw.choice([1, 3, 5]), "alpha": draw.choice([None, 0.5]), "beta": draw.choice([None, 0.6]), "bias": draw.choice([None, 2.0])}
    elif operator == "LpNormalization":
        attributes = {"axis": draw.choice([None, 1, -1, 0]), "p": draw.choice([None, 1, 2])}
    else:
        # Where one element is a group, the deviation is 0: ONNX adds 1e-9 to it, ONNX Runtime divides by it.
        attributes = {"axes": draw.choice([None, [0, 2, 3]]) if x.ndim == 4 else [0, 2]}
    draw.node(operator, inputs, **attributes)


# recurrent


@kind
def recurrent(draw):
    operator = draw.choice(["LSTM", "GRU", "RNN"])
    draw.opset = draw.choice([7, 14])
    steps, batch, width, hidden = draw.integer(1, 6), draw.integer(1, 3), draw.integer(1, 7), draw.integer(1, 9)
    direction = draw.choice([None, "forward", "reverse", "bidirectional"])
    ways = 2 if direction == "bidirectional" else 1
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[operator]
    def weights(*shape):
        return draw.either(draw.floats(shape, special=False, scale=0.5))
    inputs = [draw.input(draw.floats([steps, batch, width], special=False)),
              weights(ways, gates * hidden, width), weights(ways, gates * hidden, hidden)]
    inputs.append(weights(ways, 2 * gates * hidden) if draw.chance(0.7) else "")
    inputs.append(draw.either(draw.random.integers(1, steps, batch, endpoint=True).astype(np.int32)) if draw.chance(0.4) else "")
    inputs.append(weights(ways, batch, hidden) if draw.chance(0.5) else "")
    attributes = {"hidden_size": hidden, "direction": direction}
    if operator == "LSTM":
        inputs.append(weights(ways, batch, hidden) if draw.chance(0.5) else "")
        inputs.append(weights(ways, 3 * hidden) if draw.chance(0.4) else "")
        attributes["input_forget"] = draw.choice([None, None, 0, 1])
    if operator == "GRU":
        attributes["linear_before_reset"] = draw.choice([None, 0, 1])
    if draw.chance(0.2):
        attributes["clip"] = 0.7
    if draw.chance(0.4):
        # Not ThresholdedRelu, whose default is that of its operator in ONNX and 0 in ONNX Runtime; Affine and ScaledTanh have none.
        functions = ["Sigmoid", "Tanh", "Relu", "HardSigmoid", "Softsign", "LeakyRelu", "Elu"]
        each = {"LSTM": 3, "GRU": 2, "RNN": 1}[operator]
        attributes["activations"] = [draw.choice(functions) for _ in range(each * ways)]
    draw.relative, draw.absolute, draw.of_largest = 1e-4, 5e-6 * steps, 1e-6 * steps
    wanted = {"LSTM": 3, "GRU": 2, "RNN": 2}[operator]
    draw.node(operator, inputs, outputs=wanted, **attributes)


# classical models


@kind
def tree_ensemble(draw):
    draw.opset, draw.ml_opset = 17, draw.choice([1, 3])
    classifier = draw.chance(0.5)
    features, rows, targets = draw.integer(1, 5), draw.integer(1, 7), draw.integer(1, 4)
    if classifier and targets == 2:
        # Two classes that both have weights: ONNX Runtime answers 1 or 0, by the sign of the second's score, whatever the labels.
        targets = 1
    fields = {name: [] for name in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids", "missing")}
    leaves = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    modes = ["BRANCH_LEQ"] if draw.chance(0.5) else ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
    steps = np.array([-1.5, -0.5, 0.0, 0.25, 0.5, 1.0, 2.0], np.float32)
    for tree in range(draw.integer(1, 5)):
        waiting, count = [(0, 0)], 1
        while waiting:
            node, depth = waiting.pop()
            leaf = depth >= 4 or (depth and draw.chance(0.35))
            fields["treeids"].append(tree)
            fields["nodeids"].append(node)
            fields["missing"].append(draw.integer(0, 1))
            if leaf:
                for name, value in (("featureids", 0), ("values", 0.0), ("modes", "LEAF"), ("truenodeids", 0), ("falsenodeids", 0)):
                    fields[name].append(value)
                # A target without any weight has the base value here, and no value at all in ONNX Runtime.
                for target in range(targets):
                    leaves["treeids"].append(tree)
                    leaves["nodeids"].append(node)
                    leaves["ids"].append(target)
                    leaves["weights"].append(float(np.float32(draw.random.standard_normal())))
            else:
                fields["featureids"].append(draw.integer(0, features - 1))
                fields["values"].append(float(draw.choice(steps)))
                fields["modes"].append(draw.choice(modes))
                fields["truenodeids"].append(count)
                fields["falsenodeids"].append(count + 1)
                waiting += [(count, depth + 1), (count + 1, depth + 1)]
                count += 2
    x = draw.random.choice(np.concatenate([steps, steps + np.float32(0.1)]), (rows, features)).astype(np.float32)
    if draw.chance(0.3):
        x[draw.random.random(x.shape) < 0.2] = np.nan
    attributes = {
        "nodes_treeids": fields["treeids"], "nodes_nodeids": fields["nodeids"], "nodes_featureids": fields["featureids"],
        "nodes_values": fields["values"], "nodes_modes": fields["modes"], "nodes_truenodeids": fields["truenodeids"],
        "nodes_falsenodeids": fields["falsenodeids"],
        "nodes_missing_value_tracks_true": fields["missing"] if draw.chance(0.5) else None,
    }
    prefix = "class" if classifier else "target"
    attributes |= {f"{prefix}_{name}": values for name, values in leaves.items()}
    draw.relative, draw.absolute = 1e-5, 2e-6
    post = draw.choice([None, "NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
    if classifier:
        draw.types = {"v0_0": TensorProto.INT64, "v0_1": TensorProto.FLOAT}
        attributes |= {"classlabels_int64s": list(range(10, 10 + max(2, targets))), "post_transform": post}
        if draw.chance(0.3):
            attributes["base_values"] = [float(v) for v in draw.random.standard_normal(targets).astype(np.float32)]
        draw.node("TreeEnsembleClassifier", [draw.input(x)], outputs=2, domain=ML, **attributes)
    else:
        if targets == 1:
            # ONNX Runtime transforms no single target.
            post = None
        attributes |= {"n_targets": targets, "aggregate_function": draw.choice([None, "SUM", "AVERAGE", "MIN", "MAX"]), "post_transform": post}
        if draw.chance(0.3):
            attributes["base_values"] = [float(v) for v in draw.random.standard_normal(targets).astype(np.float32)]
        draw.node("TreeEnsembleRegressor", [draw.input(x)], domain=ML, **attributes)


@kind
def linear(draw):
    draw.opset, draw.ml_opset = 17, 1
    features, rows, targets = draw.integer(1, 9), draw.integer(1, 5), draw.integer(1, 4)
    x = draw.floats([rows, features], special=draw.choice([False, "tame"]))
    draw.sum_of(features, x, x)
    draw.absolute += 1e-6
    post = draw.choice([None, "NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
    weights = [float(v) for v in draw.random.standard_normal(targets * features).astype(np.float32)]
    intercepts = [float(v) for v in draw.random.standard_normal(targets).astype(np.float32)]
    if draw.chance(0.5):
        # ONNX Runtime transforms no single target.
        post = post if targets > 1 else None
        draw.node("LinearRegressor", [draw.input(x)], domain=ML, coefficients=weights, targets=targets, post_transform=post,
                  intercepts=intercepts if draw.chance(0.7) else None)
    else:
        draw.types = {"v0_0": TensorProto.INT64, "v0_1": TensorProto.FLOAT}
        labels = list(range(5, 5 + (2 if targets == 1 else targets)))
        draw.node("LinearClassifier", [draw.input(x)], outputs=2, domain=ML, coefficients=weights, intercepts=intercepts,
                  classlabels_ints=labels, post_transform=post, multi_class=draw.choice([None, 0, 1]))


@kind
def support_vectors(draw):
    draw.opset, draw.ml_opset = 17, 1
    features, rows, vectors = draw.integer(1, 5), draw.integer(1, 5), draw.integer(2, 7)
    x = draw.floats([rows, features], special=False)
    kernel = draw.choice(["LINEAR", "POLY", "RBF", "SIGMOID"])
    parameters = [0.5, 0.25, float(draw.choice([2, 3]))]
    def floats(count):
        return [float(v) for v in draw.random.standard_normal(count).astype(np.float32)]
    draw.relative, draw.absolute = 1e-4, 1e-4
    if draw.chance(0.5):
        linear_form = draw.chance(0.2)
        draw.node(
            "SVMRegressor", [draw.input(x)], domain=ML, kernel_type=kernel if not linear_form else "LINEAR", kernel_params=parameters,
            n_supports=0 if linear_form else vectors, coefficients=floats(features if linear_form else vectors),
            support_vectors=None if linear_form else floats(vectors * features), rho=floats(1), one_class=draw.choice([None, 0, 1]),
            post_transform=draw.choice([None, "NONE"]),
        )
        return
    draw.types = {"v0_0": TensorProto.INT64, "v0_1": TensorProto.FLOAT}
    classes = draw.integer(2, 4)
    per_class = draw.ints(classes, 1, 3)
    vectors = sum(per_class)
    pairs = classes * (classes - 1) // 2
    probabilities = draw.chance(0.4)
    draw.node(
        "SVMClassifier", [draw.input(x)], outputs=2, domain=ML, kernel_type=kernel, kernel_params=parameters, vectors_per_class=per_class,
        coefficients=floats((classes - 1) * vectors), support_vectors=floats(vectors * features), rho=floats(pairs),
        classlabels_ints=list(range(classes)), prob_a=[-abs(v) for v in floats(pairs)] if probabilities else None,
        prob_b=floats(pairs) if probabilities else None, post_transform=draw.choice([None, "NONE"]),
    )


@kind
def preparation(draw):
    draw.opset, draw.ml_opset = 17, 1
    rows, features = draw.integer(1, 5), draw.integer(1, 6)
    x = draw.floats([rows, features], special=draw.choice([None, "tame", "wild"]))
    def floats(count):
        return [float(v) for v in draw.random.standard_normal(count).astype(np.float32)]
    operator = draw.choice(["Scaler", "Normalizer", "Imputer", "Binarizer", "ArrayFeatureExtractor", "FeatureVectorizer", "OneHotEncoder"])
    draw.relative = 2e-6
    if operator == "Scaler":
        count = draw.choice([1, features])
        draw.node(operator, [draw.input(x)], domain=ML, offset=floats(count), scale=floats(count))
    elif operator == "Normalizer":
        norm = draw.choice([None, "MAX", "L1", "L2"])
        if norm in (None, "MAX"):
            # The greatest magnitude, as scikit-learn and ONNX's reference have it; ONNX Runtime takes the greatest number.
            x = np.abs(np.nan_to_num(x, posinf=2, neginf=3))
        # Squares that underflow are lost in f32.
        x = np.where(np.abs(x) < 1e-15, np.float32(0), x)
        draw.node(operator, [draw.input(x)], domain=ML, norm=norm)
    elif operator == "Imputer":
        replaced = draw.choice([float("nan"), 0.0, 1.0])
        draw.node(operator, [draw.input(x)], domain=ML, imputed_value_floats=floats(draw.choice([1, features])), replaced_value_float=replaced)
    elif operator == "Binarizer":
        draw.node(operator, [draw.input(x)], domain=ML, threshold=draw.choice([None, 0.0, 0.5]))
    elif operator == "ArrayFeatureExtractor":
        places = draw.random.integers(0, features, draw.integer(1, 4)).astype(np.int64)
        draw.node(operator, [draw.input(x), draw.constant(places)], domain=ML)
    elif operator == "FeatureVectorizer":
        second = draw.floats([rows, draw.integer(1, 3)])
        draw.node(operator, [draw.input(x), draw.input(second)], domain=ML, inputdimensions=[features, second.shape[1]])
    else:
        values = draw.random.integers(0, 5, (rows,)).astype(np.int64)
        draw.node(operator, [draw.input(values)], domain=ML, cats_int64s=[0, 1, 2, 4], zeros=draw.choice([None, 1]))


# moving


@kind
def moving(draw):
    operator = draw.choice(["Slice", "Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "Transpose", "Concat", "Split", "Tile",
                            "Expand", "DepthToSpace", "SpaceToDepth", "Trilu", "CumSum", "OneHot", "ReverseSequence", "Reshape", "Squeeze", "Unsqueeze", "Flatten"])
    draw.opset = {"Trilu": 14, "Split": 18}.get(operator, draw.choice([13, 16, 18]))
    shape = draw.ints(draw.integer(1, 4), 1, 6)
    rank = len(shape)
    dtype = draw.choice([np.float32, np.float32, np.int64, np.int32])
    if operator in ("DepthToSpace", "SpaceToDepth"):
        dtype = np.float32
    def values(shape):
        return draw.floats(shape, dtype) if dtype == np.float32 else draw.random.integers(-99, 99, shape).astype(dtype)
    axis = draw.integer(0, rank - 1)
    signed = draw.choice([axis, axis - rank])
    x = values(shape)
    draw.types = {"v0_0": helper.np_dtype_to_tensor_dtype(np.dtype(dtype))}
    def numbers(items, dtype=np.int64):
        return draw.constant(np.array(items, dtype))
    def some_indices(shape, size):
        return draw.random.integers(-size, size, shape).astype(draw.choice([np.int64, np.int32]))
    if operator == "Slice":
        count = draw.integer(1, rank)
        axes = draw.random.permutation(rank)[:count].tolist()
        far = [-(2**31), 2**31 - 1, -(2**63), 2**63 - 1]
        end = lambda: draw.choice([draw.integer(-8, 8), draw.integer(-8, 8), draw.choice(far)])
        steps = [draw.choice([1, 1, 2, 3, -1, -2]) for _ in axes] if draw.chance(0.7) else None
        ends = [end() for _ in axes]
        if steps:
            # ONNX Runtime reads the greatest number as "to the last one" backwards too, where ONNX has the least for that.
            ends = [min(e, 9) if step < 0 else e for e, step in zip(ends, steps)]
        draw.node(operator, [draw.input(x), numbers([end() for _ in axes]), numbers(ends), numbers(axes), numbers(steps) if steps else ""])
    elif operator == "Gather":
        draw.node(operator, [draw.input(x), draw.either(some_indices(draw.ints(draw.integer(0, 2), 1, 4), shape[axis]))], axis=signed)
    elif operator == "GatherElements":
        other = list(shape)
        other[axis] = draw.integer(1, 5)
        draw.node(operator, [draw.input(x), draw.either(some_indices(other, shape[axis]))], axis=signed)
    elif operator == "GatherND":
        depth = draw.integer(1, rank)
        indices = np.stack([some_indices((3,), size).astype(np.int64) for size in shape[:depth]], -1)
        draw.node(operator, [draw.input(x), draw.either(indices)])
    elif operator == "ScatterElements":
        other = [draw.integer(1, size) for size in shape]
        # Each place at most once, or the order decides.
        lines = np.stack([draw.random.permutation(shape[axis])[: other[axis]] for _ in range(int(np.prod(other)) // other[axis])])
        indices = np.moveaxis(lines.reshape([s for i, s in enumerate(other) if i != axis] + [other[axis]]), -1, axis)
        draw.node(operator, [draw.input(x), draw.either(indices.astype(np.int64)), draw.either(values(other))], axis=signed,
                  reduction=draw.choice([None, "add", "mul", "max", "min"]) if draw.opset >= 18 else None)
    elif operator == "ScatterND":
        depth = draw.integer(1, rank)
        places = draw.random.permutation(int(np.prod(shape[:depth])))[:3]
        indices = np.stack(np.unravel_index(places, shape[:depth]), -1).astype(np.int64)
        draw.node(operator, [draw.input(x), draw.either(indices), draw.either(values([len(places), *shape[depth:]]))],
                  reduction=draw.choice([None, "add", "mul", "max", "min"]) if draw.opset >= 18 else None)
    elif operator == "Transpose":
        draw.node(operator, [draw.input(x)], perm=draw.random.permutation(rank).tolist() if draw.chance(0.8) else None)
    elif operator == "Concat":
        other = list(shape)
        other[axis] = draw.integer(1, 4)
        draw.node(operator, [draw.input(x), draw.either(values(other)), draw.either(values(shape))], axis=signed)
    elif operator == "Split":
        if draw.chance(0.5):
            first = draw.integer(0, shape[axis])
            draw.node(operator, [draw.input(x), numbers([first, shape[axis] - first])], outputs=2, axis=signed)
        else:
            draw.node(operator, [draw.input(x)], outputs=min(2, shape[axis]), axis=signed, num_outputs=min(2, shape[axis]))
        draw.types = {f"v0_{i}": helper.np_dtype_to_tensor_dtype(np.dtype(dtype)) for i in range(2)}
    elif operator == "Tile":
        draw.node(operator, [draw.input(x), numbers(draw.ints(rank, 1, 3))])
    elif operator == "Expand":
        target = [size if draw.chance(0.6) else 1 for size in shape]
        wide = [size if size > 1 else draw.integer(1, 4) for size in shape]
        narrow = [size if size == target[i] else 1 for i, size in enumerate(shape)]
        draw.node(operator, [draw.input(values(narrow)), numbers([draw.integer(1, 2)] * draw.integer(0, 1) + wide)])
    elif operator in ("DepthToSpace", "SpaceToDepth"):
        block = draw.integer(1, 3)
        square = [2, 2 * block * block, 3, 2] if operator == "DepthToSpace" else [2, 3, 2 * block, 3 * block]
        draw.node(operator, [draw.input(values(square))], blocksize=block,
                  mode=draw.choice([None, "DCR", "CRD"]) if operator == "DepthToSpace" else None)
    elif operator == "Trilu":
        draw.node(operator, [draw.input(values([*shape, 4, 5])), numbers(draw.integer(-5, 6)) if draw.chance(0.7) else ""], upper=draw.choice([None, 0, 1]))
    elif operator == "CumSum":
        draw.absolute = 1e-2 if dtype == np.float32 else 0.0
        x = np.where(np.isfinite(x), x, dtype(1)).astype(dtype)
        draw.node(operator, [draw.input(x), numbers(axis, np.int64)], exclusive=draw.choice([None, 0, 1]), reverse=draw.choice([None, 0, 1]))
    elif operator == "OneHot":
        draw.node(operator, [draw.input(draw.random.integers(-6, 7, shape).astype(np.int64)), numbers(5), draw.constant(np.array([0, 3], dtype))],
                  axis=draw.choice([None, axis, -1]))
    elif operator == "ReverseSequence":
        x = values([4, 3, 2])
        draw.node(operator, [draw.input(x), draw.either(draw.random.integers(1, 4, 3).astype(np.int64))])
    elif operator == "Reshape":
        draw.node(operator, [draw.input(x), numbers(draw.choice([[-1], [0, -1] if rank > 1 else [-1], [1, -1, 1]]))])
    elif operator == "Squeeze":
        draw.node(operator, [draw.input(values([1, *shape, 1])), numbers([0, -1]) if draw.chance(0.7) else ""])
    elif operator == "Unsqueeze":
        draw.node(operator, [draw.input(x), numbers(draw.choice([[0], [-1], [0, -1], [1]]))])
    else:
        draw.node(operator, [draw.input(x)], axis=draw.choice([None, axis, axis - rank]))


@kind
def attention_parts(draw):
    """Einsum, GridSample and RoiAlign: sums with unusual indices."""
    operator = draw.choice(["Einsum", "GridSample", "RoiAlign"])
    if operator == "Einsum":
        draw.opset = 13
        equation = draw.choice(["ij,jk->ik", "bij,bjk->bik", "bhid,bhjd->bhij", "ij->ji", "ii->i", "ij->", "...ij,...jk->...ik", "i,j->ij", "bij,bij->b", "ij,kj"])
        sizes = {letter: draw.integer(1, 6) for letter in "bhijkd"}
        batch = draw.ints(draw.integer(0, 2), 1, 3)
        arrays = []
        for term in equation.split("->")[0].split(","):
            dots = batch if term.startswith("...") else []
            arrays.append(draw.floats([*dots, *[sizes[letter] for letter in term.replace("...", "")]], special=draw.choice([False, "tame"])))
        draw.sum_of(36, *arrays)
        draw.node(operator, [draw.either(array) if i else draw.input(array) for i, array in enumerate(arrays)], equation=equation)
    elif operator == "GridSample":
        draw.opset = draw.choice([16, 20])
        rank = 2
        x = draw.floats([2, 3, *draw.ints(rank, 2, 6)], special=draw.choice([False, "tame"]))
        grid = draw.random.uniform(-1.6, 1.6, [2, *draw.ints(rank, 1, 5), rank]).astype(np.float32)
        modes = ["bilinear", "nearest", "bicubic"] if draw.opset == 16 else ["linear", "nearest", "cubic"]
        draw.relative, draw.absolute = 1e-4, 2e-5 * float(np.abs(x).max())
        mode = draw.choice([None, *modes])
        draw.node(operator, [draw.input(x), draw.either(grid)], mode=mode, align_corners=draw.choice([None, 0, 1]),
                  # ONNX holds a coordinate within the border if it lies outside, ONNX Runtime also if its neighbour does.
                  padding_mode=draw.choice([None, "zeros", "reflection"] + (["border"] if mode not in ("cubic", "bicubic") else [])))
    else:
        draw.opset = draw.choice([10, 16])
        x = draw.floats([2, 2, 8, 9], special=False)
        regions = draw.integer(1, 4)
        low = draw.random.uniform(-1, 5, (regions, 2))
        rois = np.concatenate([low, low + draw.random.uniform(0.5, 6, (regions, 2))], 1).astype(np.float32)
        draw.absolute = 1e-5
        draw.node(operator, [draw.input(x), draw.either(rois), draw.either(draw.random.integers(0, 2, regions).astype(np.int64))],
                  output_height=draw.integer(1, 3), output_width=draw.integer(1, 3), sampling_ratio=draw.choice([None, 1, 2]),
                  spatial_scale=draw.choice([None, 0.5]), mode=draw.choice([None, "avg"]),
                  coordinate_transformation_mode=draw.choice([None, "half_pixel", "output_half_pixel"]) if draw.opset >= 16 else None)


def quantised(draw, shape, dtype, input=True):
    """Bytes with their scale and zero point."""
    make = draw.input if input else draw.either
    scale = np.float32(draw.choice([0.25, 0.1, 0.007, 1.5]))
    return [make(draw.bytes(shape, dtype)), draw.constant(scale), draw.constant(dtype(draw.integer(0, 100)))]


def result_of_bytes(draw, operator, inputs, dtype, **attributes):
    """A node whose bytes may differ by a step: ONNX Runtime rounds in another order. They are compared as floats."""
    scale = np.float32(draw.choice([0.5, 0.1, 0.02]))
    numbers = [draw.constant(scale), draw.constant(dtype(draw.integer(0, 100)))]
    inputs = [*numbers, *inputs] if operator == "QLinearConcat" else [*inputs, *numbers]
    y = draw.node(operator, inputs, domain=MICROSOFT, **attributes)
    draw.absolute = 1.01 * float(scale)
    draw.node("DequantizeLinear", [y, *numbers])


@kind
def microsoft_of_bytes(draw):
    """com.microsoft, as onnxruntime.quantization writes it with quant_format=QOperator. Without calls that leave zero points out, of which ONNX
    Runtime takes the type of the input, which the import cannot know."""
    draw.opset = draw.choice([11, 13, 17, 21])
    dtype = draw.choice([np.uint8, np.int8])
    operator = draw.choice(
        ["QLinearAdd", "QLinearMul", "QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax",
         "QLinearConcat", "QLinearWhere", "QGemm", "QLinearConv", "NhwcMaxPool"]
    )
    shape = draw.ints(draw.integer(1, 4), 1, 6)
    if operator in ("QLinearAdd", "QLinearMul"):
        other = [size if draw.chance(0.7) else 1 for size in shape][draw.integer(0, len(shape) - 1) :]
        result_of_bytes(draw, operator, [*quantised(draw, shape, dtype), *quantised(draw, other, dtype, False)], dtype)
    elif operator in ("QLinearAveragePool", "QLinearGlobalAveragePool"):
        shape = [draw.integer(1, 2), draw.integer(1, 5), *draw.ints(2, 2, 9)]
        # ONNX Runtime divides by zero where the windows of the former have channels last
        last = draw.choice([None, 0, 1]) if operator == "QLinearGlobalAveragePool" else draw.choice([None, 0])
        attributes = {} if operator == "QLinearGlobalAveragePool" else {
            "kernel_shape": draw.ints(2, 1, 2), "strides": draw.choice([None, [2, 1]]), "pads": draw.choice([None, [0, 0, 0, 0]]),
            "count_include_pad": draw.choice([None, 0, 1]),
        }
        result_of_bytes(draw, operator, quantised(draw, shape, dtype), dtype, channels_last=last, **attributes)
    elif operator == "NhwcMaxPool":
        draw.types = {"y": helper.np_dtype_to_tensor_dtype(np.dtype(dtype))}
        x = draw.input(draw.bytes([draw.integer(1, 2), *draw.ints(2, 3, 9), draw.integer(1, 5)], dtype))
        draw.node(operator, [x], ["y"], MICROSOFT, kernel_shape=draw.ints(2, 1, 3), strides=draw.choice([[1, 1], [2, 1]]))
    elif operator == "QLinearConv":
        last, channels, out = draw.choice([None, 0, 1]), *draw.ints(2, 1, 5)
        sizes = draw.ints(2, 3, 8)
        x = quantised(draw, [2, *sizes, channels] if last else [2, channels, *sizes], dtype)
        weights = [draw.constant(draw.bytes([out, channels, 2, 3], np.int8)), draw.constant(np.float32(0.01)), draw.constant(np.int8(0))]
        result = [draw.constant(np.float32(draw.choice([0.5, 0.1]))), draw.constant(dtype(draw.integer(0, 100)))]
        bias = draw.constant(draw.random.integers(-1000, 1000, out).astype(np.int32)) if draw.chance(0.5) else ""
        y = draw.node(operator, [*x, *weights, *result, bias], domain=MICROSOFT, channels_last=last, kernel_shape=[2, 3],
                      pads=draw.choice([None, [0, 1, 1, 1]]), strides=draw.choice([None, [1, 2]]))
        draw.absolute = 1.01 * 0.5
        draw.node("DequantizeLinear", [y, *result])
    elif operator == "QLinearSoftmax":
        result_of_bytes(draw, operator, quantised(draw, shape, dtype), dtype, axis=-1, opset=draw.opset)
    elif operator == "QLinearConcat":
        parts = [quantised(draw, shape, dtype, not number) for number in range(draw.integer(1, 3))]
        result_of_bytes(draw, operator, [name for part in parts for name in part], dtype, axis=draw.integer(0, len(shape) - 1))
    elif operator == "QLinearWhere":
        condition = draw.input(draw.random.integers(0, 2, shape).astype(bool))
        result_of_bytes(draw, operator, [condition, *quantised(draw, shape, dtype), *quantised(draw, shape, dtype, False)], dtype)
    elif operator == "QGemm":
        m, n, k = draw.ints(3, 1, 9)
        transposed = [draw.choice([None, 0, 1]) for _ in "ab"]
        a = quantised(draw, [k, m] if transposed[0] else [m, k], dtype)
        weights = [draw.constant(draw.bytes([n, k] if transposed[1] else [k, n], np.int8))]
        each = draw.chance(0.5)
        weights += [
            draw.constant(draw.random.uniform(0.001, 0.1, n if each else ()).astype(np.float32)),
            draw.constant(np.zeros(n if each else (), np.int8)),
        ]
        bias = draw.constant(draw.random.integers(-1000, 1000, n).astype(np.int32)) if draw.chance(0.6) else ""
        attributes = {"transA": transposed[0], "transB": transposed[1], "alpha": draw.choice([None, 1.0, 0.5])}
        if draw.chance(0.3):
            draw.relative = 1e-5
            draw.node(operator, [*a, *weights, bias], domain=MICROSOFT, **attributes)
        else:
            result_of_bytes(draw, operator, [*a, *weights, bias], dtype, **attributes)
    else:
        alpha = draw.choice([None, 0.1, -0.5]) if operator == "QLinearLeakyRelu" else None
        result_of_bytes(draw, operator, quantised(draw, shape, dtype), dtype, alpha=alpha)


@kind
def microsoft_of_floats(draw):
    """com.microsoft, as onnxruntime.transformers.optimizer and the runtime's own optimiser write it."""
    draw.opset = draw.choice([11, 13, 17, 21, 23])
    operator = draw.choice(
        ["BiasGelu", "DynamicQuantizeMatMul", "EmbedLayerNormalization", "FastGelu", "FusedConv", "FusedGemm", "FusedMatMul", "Gelu",
         "LayerNormalization", "MatMulIntegerToFloat", "QuickGelu", "SimplifiedLayerNormalization", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization"]
    )
    draw.relative, draw.absolute = 2e-5, 2e-5
    width = draw.integer(2, 12)
    shape = [*draw.ints(2, 1, 5), width]
    tame = {"special": False}
    x = draw.input(draw.floats(shape, **tame))
    row = lambda: draw.either(draw.floats([width], **tame))
    if operator in ("Gelu", "QuickGelu"):
        draw.node(operator, [x], domain=MICROSOFT, alpha=draw.choice([None, 1.0]) if operator == "QuickGelu" else None)
    elif operator in ("BiasGelu", "FastGelu"):
        draw.node(operator, [x, row()] if operator == "BiasGelu" or draw.chance(0.5) else [x], domain=MICROSOFT)
    elif operator == "SkipLayerNormalization":
        inputs = [x, draw.either(draw.floats(shape, **tame)), row(), row() if draw.chance(0.7) else "", row() if draw.chance(0.5) else ""]
        outputs = ["y", "", "", "sum"] if draw.chance(0.3) else ["y"]
        draw.node(operator, inputs, outputs, MICROSOFT, epsilon=draw.choice([None, 1e-5]))
    elif operator in ("LayerNormalization", "SimplifiedLayerNormalization"):
        # of ONNX's domain, where ONNX has none of this name
        draw.opset = draw.choice([11, 13, 14]) if operator == "LayerNormalization" else draw.opset
        draw.node(operator, [x, row(), row()][: 3 if operator == "LayerNormalization" else 2], axis=draw.choice([None, -1]), epsilon=draw.choice([None, 1e-6]))
    elif operator == "SkipSimplifiedLayerNormalization":
        inputs = [x, draw.either(draw.floats(shape, **tame)), row(), row() if draw.chance(0.5) else ""]
        outputs = ["y", "", "", "sum"] if draw.chance(0.3) else ["y"]
        draw.node(operator, inputs, outputs, MICROSOFT, epsilon=draw.choice([None, 1e-5]))
    elif operator == "EmbedLayerNormalization":
        del draw.inputs[x]
        words, longest, batch, length = 20, 8, *draw.ints(2, 1, 5)
        ids = lambda most: draw.input(draw.random.integers(0, most, [batch, length]).astype(np.int32))
        table = lambda rows: draw.constant(draw.floats([rows, width], **tame))
        segments = draw.chance(0.6)
        inputs = [ids(words), ids(2) if segments else "", table(words), table(longest), table(2) if segments else "", row(), row()]
        if draw.chance(0.3):
            inputs = [*inputs, "", draw.input(draw.random.integers(0, longest, [batch, length]).astype(np.int32))]
        if draw.chance(0.3):
            inputs += [""] * (8 - len(inputs))
            inputs[7] = draw.input(draw.random.integers(0, 2, [batch, length]).astype(np.int32))
        draw.types = {"lengths": TensorProto.INT32}
        draw.node(operator, inputs, ["y", "lengths", "sum"] if draw.chance(0.3) else ["y", "lengths"], MICROSOFT,
                  epsilon=draw.choice([None, 1e-5]))
    elif operator == "FusedMatMul":
        draw.opset = max(draw.opset, 12)
        rows, columns = draw.ints(2, 1, 6)
        batch = draw.ints(draw.integer(0, 2), 1, 3)
        transposed = [draw.choice([None, 0, 1]) for _ in "ab"]
        del draw.inputs[x]
        a = draw.floats([*batch, *([width, rows] if transposed[0] else [rows, width])], **tame)
        b = draw.floats([*batch, *([columns, width] if transposed[1] else [width, columns])], **tame)
        draw.sum_of(width, a, b)
        draw.node(operator, [draw.input(a), draw.either(b)], domain=MICROSOFT, transA=transposed[0], transB=transposed[1],
                  alpha=draw.choice([None, 0.125]))
    elif operator == "FusedGemm":
        rows, columns = draw.ints(2, 1, 6)
        del draw.inputs[x]
        a, b = draw.floats([rows, width], **tame), draw.floats([columns, width], **tame)
        draw.sum_of(width, a, b)
        activation = draw.choice([["Relu"], ["Sigmoid"], ["Tanh"], ["LeakyRelu", 0.1]])
        draw.node(operator, [draw.input(a), draw.either(b), draw.either(draw.floats([columns], **tame))], domain=MICROSOFT, transB=1,
                  activation=activation[0], activation_alpha=activation[1] if activation[1:] else None)
    elif operator == "FusedConv":
        del draw.inputs[x]
        image, weights = draw.floats([1, 3, 7, 8], **tame), draw.floats([4, 3, 3, 3], **tame)
        draw.sum_of(27, image, weights)
        activation = draw.choice([["Relu"], ["Sigmoid"], ["Tanh"], ["LeakyRelu", 0.1], ["Clip", 0.0, 6.0], ["HardSigmoid", 0.2, 0.5]])
        draw.node(operator, [draw.input(image), draw.either(weights), draw.either(draw.floats([4], **tame))], domain=MICROSOFT,
                  activation=activation[0], activation_params=activation[1:] or None, pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    elif operator == "DynamicQuantizeMatMul":
        columns = draw.integer(1, 6)
        each = draw.chance(0.5)
        weights = draw.constant(draw.bytes([width, columns], np.int8))
        scale = draw.constant(draw.random.uniform(0.001, 0.01, columns if each else 1).astype(np.float32))
        zero = draw.choice(["", draw.constant(np.zeros(columns if each else 1, np.int8))])
        bias = draw.either(draw.floats([columns], **tame)) if draw.chance(0.5) else ""
        draw.absolute = 1e-4
        draw.node(operator, [x, weights, scale, zero, bias], domain=MICROSOFT)
    else:
        del draw.inputs[x]
        columns = draw.integer(1, 6)
        a = draw.input(draw.bytes([draw.integer(1, 5), width], np.uint8))
        weights = draw.constant(draw.bytes([width, columns], np.int8))
        scales = [draw.constant(np.array([0.02], np.float32)), draw.constant(draw.random.uniform(0.001, 0.01, columns).astype(np.float32))]
        zeros = [draw.constant(np.array([draw.integer(0, 200)], np.uint8)), draw.constant(np.zeros(columns, np.int8))]
        bias = draw.either(draw.floats([columns], **tame)) if draw.chance(0.5) else ""
        draw.node(operator, [a, weights, *scales, *zeros, bias], domain=MICROSOFT)


@kind
def microsoft_attention(draw):
    """com.microsoft's attention over what is given, as onnxruntime.transformers.optimizer writes it for encoders and decoders.

    Without mask_index of two numbers for each row or more, which the import refuses."""
    draw.opset = draw.choice([11, 13, 17, 21])
    operator = draw.choice(["Attention", "MultiHeadAttention", "MultiHeadAttention", "QAttention"])
    draw.relative, draw.absolute = 2e-5, 2e-5
    tame = {"special": False}
    batch, rows, heads, size = draw.integer(1, 3), draw.integer(1, 6), draw.choice([1, 2, 3]), draw.choice([2, 4, 8])
    past = draw.integer(1, 4) if draw.chance(0.3) else 0
    width = heads * size
    attributes = {
        "num_heads": heads, "unidirectional": draw.choice([None, 0, 1]), "scale": draw.choice([None, None, 0.5]),
        "mask_filter_value": draw.choice([None, None, -100.0]),
    }
    floats = lambda *shape: draw.floats(shape, **tame)

    def mask(keys, shapes):
        shape = draw.choice(shapes)
        if shape == 1:
            return draw.input(draw.random.integers(1, keys + 1, batch).astype(np.int32))
        shape = [batch, keys] if shape == 2 else [batch, rows, keys]
        # Some key is open: what -10000 is added to has but three digits left, which shows where all keys are shut.
        open_or_shut = draw.random.integers(0, 2, shape).astype(np.int32)
        open_or_shut[..., 0] = 1
        return draw.input(open_or_shut)

    if operator == "MultiHeadAttention":
        value = draw.choice([size, size, 3])
        # ONNX Runtime asks keys and values that were kept for one size
        keys = rows if past or draw.chance(0.5) else draw.integer(1, 6)
        if keys != rows:
            attributes["unidirectional"] = None
        apart = not past and draw.chance(0.25)
        kv = [floats(batch, heads, keys, each) if apart else floats(batch, keys, heads * each) for each in (size, size if past or apart else value)]
        value = kv[1].shape[-1] if apart else kv[1].shape[-1] // heads
        inputs = [draw.input(floats(batch, rows, width)), *map(draw.input, kv)]
        bias = draw.either(floats(2 * width + heads * value)) if draw.chance(0.5) and not apart else ""
        # of masks of queries and keys ONNX Runtime's processor kernel takes those without a past
        shut = mask(past + keys, [1, 2, 2, 3] if not past else [2]) if draw.chance(0.6) else ""
        more = draw.input(floats(draw.choice([1, batch]), draw.choice([1, heads]), rows, past + keys)) if draw.chance(0.4) else ""
        before = [draw.input(floats(batch, heads, past, size)) for _ in "kv"] if past else ["", ""]
        outputs = ["y", "k", "v"] if past else ["y"]
        draw.node(operator, [*inputs, bias, shut, more, *before], outputs, MICROSOFT, **attributes)
        return
    wide = draw.integer(3, 9)
    before = draw.input(floats(2, batch, heads, past, size)) if past else ""
    outputs = ["y", "present"] if past else ["y"]
    keys = past + rows
    if operator == "QAttention":
        draw.absolute = 1e-4
        each = draw.chance(0.5)
        x, w = draw.input(draw.bytes([batch, rows, wide], np.uint8)), draw.constant(draw.bytes([wide, 3 * width], np.int8))
        scales = [draw.constant(np.float32(0.01)), draw.constant(draw.random.uniform(0.001, 0.01, 3 * width if each else ()).astype(np.float32))]
        zeros = [draw.constant(np.uint8(draw.integer(0, 200))), draw.constant(np.zeros(3 * width if each else (), np.int8))]
        shut = mask(keys, [1, 2, 2, 3]) if draw.chance(0.6) else ""
        draw.node(operator, [x, w, draw.constant(floats(3 * width)), *scales, shut, *zeros, before], outputs, MICROSOFT, **attributes)
        return
    value = draw.choice([size, 3]) if not past and draw.chance(0.4) else size
    total = 2 * width + heads * value
    if value != size:
        attributes["qkv_hidden_sizes"] = [width, width, heads * value]
    inputs = [draw.input(floats(batch, rows, wide)), draw.either(floats(wide, total)), draw.either(floats(total)) if draw.chance(0.7) else ""]
    shut = mask(keys, [1, 2, 2, 3]) if draw.chance(0.6) else ""
    more = draw.input(floats(draw.choice([1, batch]), draw.choice([1, heads]), rows, keys)) if draw.chance(0.4) and not past else ""
    draw.node(operator, [*inputs, shut, before, more], outputs, MICROSOFT, **attributes)


@kind
def microsoft_group_query(draw):
    """GroupQueryAttention and RotaryEmbedding, as decoders have them. The cache is as long as all, or a longer buffer."""
    draw.opset = draw.choice([13, 17, 21])
    draw.relative, draw.absolute = 2e-5, 2e-5
    tame = {"special": False}
    floats = lambda *shape: draw.floats(shape, **tame)
    batch, rows, groups, size = draw.integer(1, 2), draw.integer(1, 5), draw.choice([1, 2]), draw.choice([16, 32])
    heads = groups * draw.choice([1, 2, 3])
    turned = size if size == 16 or draw.chance(0.5) else 16
    longest = 20
    angles = draw.random.uniform(-3, 3, (longest, turned // 2))
    tables = [draw.constant(table(angles).astype(np.float32)) for table in (np.cos, np.sin)]
    if draw.chance(0.25):
        apart = draw.chance(0.5)
        x = floats(batch, heads, rows, size) if apart else floats(batch, rows, heads * size)
        first = draw.chance(0.3)
        ids = np.array([draw.integer(0, 10)]) if first else draw.random.integers(0, longest, (batch, rows))
        whole = turned == size
        draw.node("RotaryEmbedding", [draw.input(x), draw.input(ids.astype(np.int64)), *tables], domain=MICROSOFT,
                  interleaved=draw.choice([None, 0, 1]), num_heads=None if whole else heads, rotary_embedding_dim=None if whole else turned)
        return
    past = draw.integer(1, 5) if draw.chance(0.6) else 0
    if past and rows > 1:
        batch = 1
    total = past + rows
    buffer = total + draw.integer(1, 3) if past and draw.chance(0.3) else past
    packed = draw.chance(0.3)
    if packed:
        inputs = [draw.input(floats(batch, rows, (heads + 2 * groups) * size)), "", ""]
    else:
        inputs = [draw.input(floats(batch, rows, count * size)) for count in (heads, groups, groups)]
    before = [draw.input(floats(batch, groups, buffer, size)) for _ in "kv"] if past else ["", ""]
    last = draw.input(np.full(batch, total - 1, np.int32))
    # as an input it would make shapes depend on values
    greatest = draw.constant(np.array(total, np.int32))
    rotary = draw.chance(0.6)
    more = draw.input(floats(draw.choice([1, batch]), draw.choice([1, heads]), rows, total)) if draw.chance(0.3) and buffer == past else ""
    sink = draw.either(floats(heads)) if draw.chance(0.2) else ""
    ids = draw.input(draw.random.integers(0, longest - rows, (batch, rows)).astype(np.int64)) if rotary and draw.chance(0.3) else ""
    if buffer > past:
        # what lies behind the last row of a buffer is anything; yet ONNX Runtime reads the buffer that it gives
        draw.outputs = ["y"]
    draw.node(
        "GroupQueryAttention", [*inputs, *before, last, greatest, *(tables if rotary else ["", ""]), ids, more, sink], ["y", "k", "v"], MICROSOFT,
        num_heads=heads, kv_num_heads=groups, do_rotary=int(rotary), rotary_interleaved=draw.choice([None, 0, 1]) if rotary else None,
        scale=draw.choice([None, 0.4]), softcap=draw.choice([None, None, 2.0]), local_window_size=draw.choice([None, None, 1, 2, 3]),
        smooth_softmax=draw.choice([None, None, 1]) if not sink else None,
    )


@kind
def microsoft_packed(draw):
    """Weights of a few bits, as onnxruntime.quantization.matmul_nbits_quantizer writes them."""
    draw.opset = draw.choice([11, 15, 18, 21])
    tame = {"special": False}
    bits = draw.choice([4, 4, 4, 2, 8])
    block = draw.choice([16, 32])
    each = 8 // bits
    with_zeros = draw.choice(["none", "bytes", "floats"])
    columns = draw.integer(1, 9)
    if draw.chance(0.3):
        blocks = draw.integer(1, 3)
        draw.relative = 1e-6
        table = draw.constant(draw.bytes([columns, blocks * block // each], np.uint8))
        ids = draw.random.integers(0, columns, draw.ints(draw.integer(0, 2), 1, 3)).astype(draw.choice([np.int32, np.int64]))
        scales = draw.constant(draw.floats([columns, blocks], **tame))
        zeros = draw.constant(draw.bytes([columns, -(-blocks // each)], np.uint8)) if with_zeros != "none" else ""
        draw.node("GatherBlockQuantized", [table, draw.input(ids), scales, zeros], domain=MICROSOFT, bits=bits, block_size=block,
                  gather_axis=0, quantize_axis=draw.choice([1, -1]))
        return
    if bits == 8 and with_zeros == "floats":
        with_zeros = "bytes"
    depth = draw.integer(1, 70)
    blocks = -(-depth // block)
    x = draw.floats([*draw.ints(draw.integer(1, 2), 1, 4), depth], **tame)
    weights = draw.constant(draw.bytes([columns, blocks, block // each], np.uint8))
    scales = draw.floats([columns, blocks] if draw.chance(0.5) else [columns * blocks], **tame)
    draw.relative = 1e-4
    draw.sum_of(depth, x, scales, np.array([2.0**bits]))
    packed = -(-blocks // each)
    zeros = {
        "none": lambda: "",
        "bytes": lambda: draw.constant(draw.bytes([columns, packed] if draw.chance(0.5) else [columns * packed], np.uint8)),
        "floats": lambda: draw.constant(draw.floats([columns, blocks], **tame)),
    }[with_zeros]()
    bias = draw.constant(draw.floats([columns], **tame)) if draw.chance(0.3) else ""
    draw.node("MatMulNBits", [draw.input(x), weights, draw.constant(scales), zeros, "", bias], domain=MICROSOFT, K=depth, N=columns, bits=bits,
              block_size=block, accuracy_level=draw.choice([None, 0, 1]))


def run(model, inputs):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    # Exact sums of bytes, where the default saturates pairs of them on processors without a dot product.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def case(seed, index, only=None):
    names = [name for name in KINDS if only is None or name == only]
    name = names[index % len(names)]
    draw = Draw(seed, index)
    KINDS[name](draw)
    model = draw.model()
    tensors = [numpy_helper.from_array(array, name) for name, array in draw.inputs.items()]
    try:
        outputs = run(model, draw.inputs)
        names = [value.name for value in model.graph.output]
        outputs = [numpy_helper.from_array(np.asarray(array), name) for array, name in zip(outputs, names)]
        refused = None
    except Exception as error:  # whatever ONNX Runtime's own exceptions are
        outputs, refused = [], str(error)[:300]
    return f"{name}/{index}", model, (draw.relative, draw.absolute, draw.of_largest), tensors, outputs, refused


def encode(name, model, tolerance, inputs, outputs, refused):
    fields = [name.encode(), model.SerializeToString(), " ".join(map(repr, tolerance)).encode()]
    for tensors in (inputs, outputs):
        fields.append(struct.pack("<I", len(tensors)))
        fields += [tensor.SerializeToString() for tensor in tensors]
    fields.append((refused or "").encode())
    return b"".join(struct.pack("<I", len(field)) + field for field in fields)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only")
    parser.add_argument("--case", type=int)
    arguments = parser.parse_args()
    if arguments.case is not None:
        name, model, tolerance, inputs, outputs, refused = case(arguments.seed, arguments.case, arguments.only)
        print(onnx.printer.to_text(model), flush=True)
        for tensor in [*inputs, *outputs]:
            print(tensor.name, numpy_helper.to_array(tensor).tolist())
        print("tolerance", tolerance, "refused", refused)
        onnx.save(model, arguments.file)
        return
    refusals = 0
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    with arguments.file.open("wb") as file:
        for index in range(arguments.cases):
            found = case(arguments.seed, index, arguments.only)
            refusals += found[-1] is not None
            file.write(encode(*found))
    print(f"{arguments.cases} cases of {len(KINDS)} kinds, {refusals} refused by ONNX Runtime")


if __name__ == "__main__":
    main()
