"""docs/spec/work.md, and the memory of docs/spec/model.md §5: what a graph costs, from shapes alone.

A step is a `Case` of which only kinds, shapes and attributes count, with the names of its inputs and outputs.
"""

from dataclasses import dataclass
from math import prod

SIZES = {
    "bool": 1, "i8": 1, "u8": 1, "i16": 2, "u16": 2, "f16": 2, "bf16": 2,
    "i32": 4, "u32": 4, "f32": 4, "i64": 8, "u64": 8, "f64": 8,
}  # fmt: skip
FLOATS = ("f32", "f64", "f16", "bf16")

# docs/spec/predict.md §6
NODE, MACS_PER_GAS, BYTES_PER_GAS = 70, 150, 100


@dataclass
class Type:
    kind: str
    shape: tuple

    @property
    def elements(self):
        return prod(self.shape)

    @property
    def bytes(self):
        return self.elements * SIZES[self.kind]


@dataclass
class Step:
    operator: str
    inputs: list  # of Type
    outputs: list
    attributes: dict
    opset: int
    input_names: list
    output_names: list
    axes: list = ()  # of a reduction


def up(x, multiple):
    return -(-x // multiple) * multiple


# ------------------------------------------------------------------------------------------------------- work

ELEMENTWISE = {
    2: ["Not"],
    4: ["And", "Or", "Xor"],
    6: ["Abs", "Neg", "Sign", "Relu", "Add", "Sub", "Mul", "BitwiseNot"],
    8: ["LeakyRelu", "PRelu", "ThresholdedRelu", "IsNaN", "IsInf", "Where"],
    12: ["HardSigmoid"],
    14: ["Floor", "Ceil", "Round"],
    16: ["HardSwish", "Clip", "Sqrt", "Reciprocal", "Softsign"],
    32: ["BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor"],
    100: ["Exp"],
    130: ["Sigmoid", "Tanh"],
    160: ["Mish"],
    180: ["Log"],
    190: ["Erf"],
    210: ["Elu", "Selu"],
    250: ["Swish"],
    260: ["Gelu"],
    300: ["SwiGLU"],
    320: ["Softplus"],
    360: ["Celu"],
    1_000: ["Sin", "Cos", "Sinh"],
    1_500: ["Cosh"],
    2_000: ["Tan"],
    2_400: ["Pow"],
    2_500: ["Asin", "Acos", "Atan", "Asinh", "Acosh", "Atanh"],
}
# of floats, and of integers
BY_TYPE = {"Div": (24, 64), "Mod": (3_000, 160), "Shrink": (20, 200)}
OF_DOUBLES = {"Mish": 1_100} | {
    name: c
    for c, names in ELEMENTWISE.items()
    for name in names
    if name in ("Exp", "Sigmoid", "Tanh", "Elu", "Selu", "Swish", "SwiGLU", "Pow") or c >= 1_000
}
PER_ELEMENT = {name: c for c, names in ELEMENTWISE.items() for name in names}
COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
MOVING = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
COPYING = (*MOVING, "Dropout", "Concat", "Split", "Slice", "Transpose", "Expand", "Tile", "Gather", "Where")
ATTENTIONS = ("Attention", "RotaryEmbedding", "LinearAttention", "CausalConvWithState")
RECURRENT = ("LSTM", "GRU", "RNN")
NORMALISATIONS = (
    "BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization", "RMSNormalization",
)  # fmt: skip


def defined_outputs(step):
    """Types of all outputs that the operator defines, wanted or not."""
    outputs, missing = list(step.outputs), {}
    if step.operator == "MaxPool":
        missing = {1: Type("i64", step.outputs[0].shape)}
    if step.operator == "BatchNormalization":
        missing = {1: step.inputs[3], 2: step.inputs[4]}
    if step.operator == "Attention":
        (batch, heads, queries, _), (_, key_heads, _, size) = (kind.shape for kind in step.inputs[:2])
        keys, value = Scores(step).keys, step.inputs[2].shape[3]
        shapes = {1: (batch, key_heads, keys, size), 2: (batch, key_heads, keys, value), 3: (batch, heads, queries, keys)}
        missing = {at: Type(step.inputs[0].kind, shape) for at, shape in shapes.items()}
    if step.operator == "LayerNormalization":
        rows = step.outputs[0].elements // step.inputs[1].elements
        missing = {1: Type("f32", (rows,)), 2: Type("f32", (rows,))}
    return outputs + [kind for at, kind in missing.items() if at >= len(outputs)]


def widening(step):
    """Of 16-bit floats to f32 and back."""
    if step.operator in COPYING:
        return 0
    touched = (*step.inputs, *defined_outputs(step))
    return 8 * sum(kind.elements for kind in touched if kind.kind in ("f16", "bf16"))


def side_by_side(shape, axes):
    """Whether the reduced axes lie side by side, those of 1 left aside."""
    reduced = [axis in axes for axis in range(len(shape)) if shape[axis] != 1]
    return "".join("x" if r else " " for r in reduced).strip().find(" ") < 0


def product(kind, m, n, k):
    if kind == "f64":
        return m * n * (16 * k + 160)
    if kind not in FLOATS:
        return m * (10 * k + 60) if n == 1 else m * n * (24 * k + 60)
    return (1 if m == 1 else up(m, 6)) * up(n, 16) * (k + 12)


@dataclass
class Axis:
    """Of a convolution's space, by default a trivial one."""

    input: int = 1
    output: int = 1
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    padding: tuple = (0, 0)

    def sees_itself(self):
        return self.kernel == 1 and self.padding == (0, 0)


class Convolution:
    """Its sizes, as the tables name them."""

    def __init__(self, step):
        self.step = step
        x, w = step.inputs[0].shape, step.inputs[1].shape
        self.images, self.groups = x[0], step.attributes.get("group", 1)
        self.channels = w[0] // self.groups
        self.terms = prod(w[1:])
        self.space = step.outputs[0].shape[2:]
        self.positions = prod(self.space)
        self.kernel = w[2:]

    def arithmetic(self):
        m, terms, positions, images = self.channels, self.terms, self.positions, self.images * self.groups
        kind, width = self.step.inputs[0].kind, self.space[-1]
        if kind == "f64":
            return terms * m * (positions // width * (width * 8 + 120) + 240) * images
        if m < 4:
            return terms * m * up(positions, 8) * 4 * images + self.finding()
        one = product(kind, m + 2, positions, terms)
        if positions == 1 and self.groups == 1:
            one = min(one, product(kind, 1, m, terms))
        return one * images + self.finding()

    def finding(self):
        width, taps = self.space[-1], prod(self.kernel)
        pieces = taps * (self.positions // width) * -(-width // 16)
        if pieces <= 32_768:
            times = int(taps > 1)
        else:
            times = self.images * self.groups if self.adds_tap_by_tap() else 0
        return self.terms * 64 + pieces * 230 * times

    def adds_tap_by_tap(self):
        return (self.channels < 4 or self.terms == 0) and not self.has_windows()

    def axes(self):
        """Three of them, as few as possible not trivial."""
        rank, attributes = len(self.space), self.step.attributes
        ones = [1] * rank
        # where padding follows from a rule there is none of a window of one element
        pads = list(attributes.get("pads") or [int(kernel > 1) for kernel in self.kernel] * 2)
        given = zip(
            self.step.inputs[0].shape[2:], self.space, self.kernel, attributes.get("strides") or ones,
            attributes.get("dilations") or ones, zip(pads[:rank], pads[rank:]),
        )  # fmt: skip
        axes = [Axis()] * (3 - rank) + [Axis(*axis) for axis in given]
        is_point = lambda axis: axis.sees_itself() and axis.input == axis.output == 1
        while is_point(axes[2]) and axes[1] != Axis():
            axes = [Axis(), *axes[:2]]
        if all(axis.sees_itself() and axis.stride == 1 and axis.input == axis.output for axis in axes):
            size = prod(axis.input for axis in axes)
            return [Axis(), Axis(), Axis(size, size)]
        return axes

    def has_windows(self):
        first, high, wide = self.axes()
        if first != Axis() or not 1 <= self.terms <= 65_536:
            return False
        columns = min(wide.output, 512)
        across = (wide.kernel - 1) * wide.dilation
        phases = min(wide.stride, across + 1)
        phase = columns + across // wide.stride
        phase = up(phase, 16) if phases > 1 else phase
        lines = (high.kernel - 1) * high.dilation + 1
        inputs = self.terms // prod(self.kernel)
        copies = -(-wide.output // columns) * phases * -(-phase // 16)
        return lines * phase * phases * inputs + 32 <= 262_144 and copies <= 32_768


class Sums:
    """An Einsum without ellipses as a product of matrices, if it is one."""

    def __init__(self, step):
        left, output = step.attributes["equation"].split("->")
        terms = left.split(",")
        sizes = {letter: size for term, kind in zip(terms, step.inputs) for letter, size in zip(term, kind.shape)}
        summed = [letter for letter in sizes if letter not in output]
        self.k = prod(sizes[letter] for letter in summed)
        self.is_product = len(terms) == 2 and all(sizes[s] == 1 or all(s in term for term in terms) for s in summed)
        if self.is_product:
            walked = [[letter in term for term in terms] for letter in output]
            size = lambda wanted: prod(sizes[letter] for letter, by in zip(output, walked) if by in wanted)
            self.b, self.m, self.n = size([[True, True]]), size([[True, False]]), size([[False, True], [False, False]])


def matrices(step):
    """m, n, k and the number of products."""
    x, y, out = (kind.shape for kind in (*step.inputs[:2], step.outputs[0]))
    if step.operator == "Gemm":
        return *out, x[0 if step.attributes.get("transA") else 1], 1
    if prod(y[:-2]) == 1 and prod(x[:-2]) == prod(out[:-2]):
        return prod(x[:-1]), y[-1], x[-1], 1
    return x[-2], y[-1], x[-1], prod(out[:-2])


class Recurrence:
    """Sizes of a recurrent network, whose weights are never known in advance here."""

    def __init__(self, step):
        x, r = step.inputs[0].shape, step.inputs[2].shape
        self.steps, self.batch, self.input = x
        self.directions, self.rows, self.hidden = r
        # of the products with R: a GRU whose reset gate acts first has two
        split = step.operator == "GRU" and not step.attributes.get("linear_before_reset")
        self.parts = (2 * self.hidden, self.hidden) if split else (self.rows,)

    def arithmetic(self, name, kind):
        f = 4 if kind == "f64" else 1
        evaluations = {"LSTM": 5, "GRU": 3, "RNN": 1}[name]
        ahead = product(kind, self.steps * self.batch + 8, self.rows, self.input)
        one = product(kind, self.batch + 8, self.rows, self.hidden) + product(kind, self.batch, 16, self.hidden)
        rows = self.steps * self.batch * (self.hidden * evaluations * 280 * f + 4_500)
        return self.directions * (ahead + self.steps * one + rows)

    def bytes(self, kind):
        moved = 8 * self.steps * self.batch * self.rows
        return moved + self.directions * self.steps * self.rows * self.hidden * SIZES[kind]

    def scratch(self, computing):
        gates = self.steps * self.batch * self.rows + self.batch * self.rows
        own = gates + 3 * self.batch * self.hidden + self.rows + self.hidden
        if computing == "f64":
            return own
        parts = [product_scratch(self.batch, rows, self.hidden) for rows in self.parts]
        return own + max(product_scratch(self.steps * self.batch, self.rows, self.input), *parts)


class Scores:
    """Sizes of an attention whose operands have four dimensions."""

    def __init__(self, step):
        q, k, v = (kind.shape for kind in step.inputs[:3])
        self.queries, self.size, self.value = q[2], q[3], v[3]
        self.past = step.inputs[4].shape[2] if len(step.inputs) > 4 else 0
        self.keys = k[2] + self.past
        self.heads, self.key_heads = q[0] * q[1], k[0] * k[1]

    def arithmetic(self, kind):
        q, k, f = self.queries, self.keys, 4 if kind == "f64" else 1
        products = product(kind, q + 24, k, self.size) + product(kind, q + 24, self.value, k)
        products += k * (self.size + 12) * 4 * f if q == 1 else 0
        return self.heads * (products + q * k * 320 * f + q * 4_000 + 12_000)

    def scratch(self, computing):
        q, k = self.queries, self.keys
        own = 2 * q * k + q * self.value
        if self.past:
            own += self.key_heads * k * (self.size + self.value)
        if computing == "f64":
            return own
        scores = product_scratch(k, 1, self.size) if q == 1 else product_scratch(q, k, self.size)
        return own + max(scores, product_scratch(q, self.value, k))


class Delta:
    """Sizes of a linear attention."""

    def __init__(self, step):
        q, k, v = (kind.shape for kind in step.inputs[:3])
        self.steps = q[0] * q[1]
        self.queries, self.heads = (step.attributes[name] for name in ("q_num_heads", "kv_num_heads"))
        self.key, self.value = k[2] // self.heads, v[2] // self.heads

    def arithmetic(self, kind):
        touches, f = 3 * self.heads + self.queries, 4 if kind == "f64" else 1
        one = self.key * up(self.value, 8) * touches * 12 * f + self.key * touches * 800 * f
        return self.steps * (one + (self.heads + self.queries) * 6_000)


def integer_product(step):
    """m, n, k and the number of products of matrices of bytes that are not known in advance."""
    places = (0, 3) if step.operator == "QLinearMatMul" else (0, 1)
    x, y = (step.inputs[place].shape for place in places)
    out = step.outputs[0].shape
    return x[-2], y[-1], x[-1], prod(out[:-2])


def bytes_product(m, n, k):
    return m * up(n, 16) * (up(k, 4) * 3 // 8 + 10)


def integer_product_scratch(step):
    m, n, k, _ = integer_product(step)
    quantizes = step.operator == "QLinearMatMul"
    places = (1, 2, 4, 5) if quantizes else (2, 3)
    numbers = sum(step.inputs[at].elements if at < len(step.inputs) else 1 for at in places)
    packed = 2 * up(n, 16) * up(k, 4) + 4 * up(n, 16)
    copied = up(k, 4) if k > 262_140 and k % 4 else 0
    return 4 * (numbers + 3 * up(n, 16) + (m * n if quantizes else 0)) + packed + copied


class IntegerConvolution:
    def __init__(self, step):
        self.quantizes = step.operator == "QLinearConv"
        x, w = (step.inputs[at].shape for at in ((0, 3) if self.quantizes else (0, 1)))
        self.batch, self.groups = x[0], step.attributes.get("group", 1)
        self.channels, self.terms = w[0] // self.groups, prod(w[1:])
        self.columns, self.padded = self.groups * up(self.channels, 16), prod(w[2:]) * up(w[1], 4)
        self.space, self.n = step.outputs[0].shape[2:], step.outputs[0].elements
        self.positions = prod(self.space)
        self.inputs = w[1] * self.groups
        given = lambda name: list(step.attributes.get(name) or [1] * len(self.space))
        ones = [1] * (2 - len(self.space))
        parts = (list(self.space), given("strides"), list(w[2:]), given("dilations"))
        # lines and columns: sizes of the output, strides, taps, dilations; none of them where space has three axes
        self.axes = [ones + part for part in parts] if len(self.space) <= 2 else None

    def copied(self):
        """Bytes of the windows that an image is copied in, `None` if none fits."""
        pixel = 4 if self.inputs == 3 and self.groups == 1 else self.inputs
        (lines, strides, taps, dilations) = self.axes
        reach = lambda axis, windows: (windows - 1) * strides[axis] + (taps[axis] - 1) * dilations[axis] + 1
        line = lambda windows: up(reach(1, windows), 2) if strides[1] == 2 else reach(1, windows)
        for window in (131_072, 524_288):
            room = (window - 4) // pixel
            down, across = lines
            if room // line(across) >= reach(0, 1):
                high = min((room // line(across) - reach(0, 1)) // strides[0] + 1, down)
                wide = across
            else:
                high, fits = 1, room // reach(0, 1)
                fits = fits // 2 * 2 if strides[1] == 2 else fits
                if fits < reach(1, 1):
                    continue
                wide = min((fits - reach(1, 1)) // strides[1] + 1, across)
            return -(-down // high) * -(-across // wide) * (reach(0, high) * line(wide) * pixel + 4)
        return None

    def gathers(self):
        terms = self.positions * self.groups * self.terms
        copied = None if self.axes is None else self.copied()
        return copied is None or copied > max(32 * terms, 131_072)

    def alone(self):
        return self.groups > 1 and self.inputs == self.groups and self.channels == 1 and not self.gathers()

    def arithmetic(self):
        m, terms, positions = self.channels, self.terms, self.positions
        if self.alone():
            image = up(self.groups, 64) * positions * (terms + 12) + self.groups * 70
        else:
            gathering = 110 if self.gathers() else 0
            image = self.groups * (bytes_product(positions, m, terms) + gathering * positions * terms)
        each = 10 if self.quantizes else 360 if self.alone() else 40
        return self.batch * (image + 8_000) + self.groups * m * terms * 80 + self.n * each

    def scratch(self, step):
        zeros = step.inputs[5 if self.quantizes else 3].elements if self.quantizes or len(step.inputs) > 3 else 1
        quantizing = step.inputs[4].elements + self.n if self.quantizes else 0
        packed = 2 * (self.columns + 64) * self.padded + 4 * (self.columns + 64)
        gathered = self.padded if self.padded > 131_072 else 0
        return 4 * (zeros + quantizing + 3 * (self.columns + 64)) + packed + gathered


def scale_runs(step):
    """Runs of elements with one scale, or a row of scales."""
    x, scale = step.inputs[0], step.inputs[1]
    axis, block = step.attributes.get("axis", 1), step.attributes.get("block_size", 0)
    if block == 0 and len(scale.shape) <= 1 and scale.elements == 1:
        return 1
    behind = prod(x.shape[axis + 1 :])
    if behind > 1:
        return x.elements // behind
    return x.elements // x.shape[axis] * (scale.shape[axis] if block else 1)


def product_scratch(m, n, k):
    """Where the right operand is not known in advance."""
    return 0 if m == 1 else min(48, up(m, 6)) * min(512, k) + up(n, 16) * k


def arithmetic(step):
    name, x, y, attributes = step.operator, step.inputs[0], step.outputs[0], step.attributes
    n, elements = y.elements, x.elements
    if name in PER_ELEMENT or name in ("Min", "Max", "Sum", "Mean", *BY_TYPE, *COMPARISONS):
        c = PER_ELEMENT.get(name, 10 * max(1, len(step.inputs) - 1))
        if name in ("Sum", "Mean"):
            c = 20 * len(step.inputs)
        if name in BY_TYPE:
            floats, integers = BY_TYPE[name]
            c = floats if x.kind in FLOATS else integers
        if name in COMPARISONS:
            c = 28 if SIZES[x.kind] == 8 else 10
        if y.kind == "f64":
            c = OF_DOUBLES.get(name, 2 * c)
        if y.kind in ("i8", "u8", "bool"):
            c = -(-c // 2)
        broadcasts = any(operand.elements != n for operand in step.inputs)
        runs = n // y.shape[-1] if broadcasts and y.shape and y.shape[-1] else 1
        return n * c + 1_000 * runs
    if name in ("MatMul", "Gemm"):
        *dims, products = matrices(step)
        return product(x.kind, *dims) + 2 * n if name == "Gemm" else (product(x.kind, *dims) + 800) * products
    if name in RECURRENT:
        return Recurrence(step).arithmetic(name, x.kind)
    if name == "Attention":
        return Scores(step).arithmetic(x.kind)
    if name in ("MatMulInteger", "QLinearMatMul"):
        m, width, k, products = integer_product(step)
        one = bytes_product(m, width, k) + 9_000 + width * 20 + m * 12
        return products * (one + m * k * 4 + m * width * 10 + width * k * 24)
    if name in ("ConvInteger", "QLinearConv"):
        return IntegerConvolution(step).arithmetic()
    if name in ("QuantizeLinear", "DequantizeLinear"):
        return n * 48 + scale_runs(step) * 2_000
    if name == "DynamicQuantizeLinear":
        return n * 48 + 6_000
    if name == "LinearAttention":
        return Delta(step).arithmetic(x.kind)
    if name == "RotaryEmbedding":
        return n * 40 + n // x.shape[-1] * 1_500
    if name == "CausalConvWithState":
        rows, taps = prod(x.shape[:2]), step.inputs[1].shape[2]
        per_element = taps * 8 + (30 if attributes.get("activation", "none") == "none" else 250)
        f = 4 if x.kind == "f64" else 1
        return rows * up(x.shape[2], 8) * per_element * f + rows * (2_000 + 400 * taps)
    if name == "GroupNormalization":
        return n * 32 + x.shape[0] * attributes["num_groups"] * 4_000 + prod(x.shape[:2]) * 1_000
    if name == "Conv":
        return Convolution(step).arithmetic()
    if name == "ConvTranspose":
        w, width = step.inputs[1].shape, y.shape[-1]
        terms = w[0] // attributes.get("group", 1) * prod(w[2:])
        return n // width * terms * (-(-width // attributes["strides"][-1]) + 8) * 64
    if name.startswith("Reduce"):
        more = {"ReduceL1": 16, "ReduceLogSumExp": 320}.get(name, 0)
        return elements * ((7 if side_by_side(x.shape, step.axes) else 80) + more) + n * 1_500
    if name in ("Softmax", "LogSoftmax", "Hardmax"):
        axis = attributes.get("axis", 1)
        length = prod(x.shape[axis:]) if step.opset < 13 else x.shape[axis]
        whole = step.opset < 13 or prod(x.shape[axis + 1 :]) == 1
        return n * (130 if whole else 300) + n // length * 3_400
    if name == "MaxPool" and len(step.outputs) == 1 and x.kind in ("f32", "i8", "u8"):
        return n * (prod(attributes["kernel_shape"]) + 46) + elements * 20 + prod(x.shape[:2]) * 320
    if name in ("MaxPool", "AveragePool"):
        return n * (prod(attributes["kernel_shape"]) + 2) * 46 * (12 if len(step.outputs) > 1 else 1)
    if name == "Einsum":
        sums = Sums(step)
        if sums.is_product and x.kind in FLOATS:
            moved = n + sum(kind.elements for kind in step.inputs)
            return 4_000 + product(x.kind, sums.m, sums.n, sums.k) * sums.b + 48 * moved + 1_000 * sums.b
        return 4_000 + n * (sums.k * len(step.inputs) * 160 + 4_000)
    if name in ("GatherElements", "GatherND"):
        return step.inputs[1].elements * 512
    if name in ("ScatterElements", "ScatterND"):
        return step.inputs[1].elements * 512 + step.inputs[2].elements * 32
    if name == "TopK":
        lines, wanted = elements // x.shape[attributes["axis"]], y.shape[attributes["axis"]]
        return elements * 240 + lines * 2_000 + lines * wanted * (wanted.bit_length() + 4) * 60
    if name == "LpPool":
        return n * (prod(attributes["kernel_shape"]) + 2) * (230 if attributes["p"] <= 2 else 1_380)
    if name == "LRN":
        return n * (min(attributes["size"], x.shape[1]) * 32 + 3_500)
    if name == "LpNormalization":
        axis = attributes["axis"] % len(x.shape)
        return n * (60 if prod(x.shape[axis + 1 :]) == 1 else 100) + n // x.shape[axis] * 2_000
    if name == "MeanVarianceNormalization":
        groups = prod(size for axis, size in enumerate(x.shape) if axis not in attributes["axes"])
        return n * 220 + groups * 4_000
    if name in ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"):
        samples = step.inputs[1].elements
        of_softmax = name == "SoftmaxCrossEntropyLoss"
        return samples * (4_000 if of_softmax else 1_000) + of_softmax * elements * 1_200 + 4_000
    if name == "BatchNormalization":
        return n * (520 if attributes.get("training_mode") else 8) + prod(x.shape[:2]) * 1_000
    if name == "Gather":
        return step.inputs[1].elements * prod(x.shape[: attributes["axis"]]) * 512
    if name in ("Concat", "Split"):
        tensors = len(step.inputs) if name == "Concat" else len(step.outputs)
        return prod(x.shape[: attributes.get("axis", 0)]) * tensors * 64
    rows = n // (y.shape[-1] or 1) if y.shape else n
    if name == "Transpose":
        stays = attributes.get("perm", range(len(x.shape))[::-1])[-1] == len(x.shape) - 1
        return n * 2 + rows * 100 if stays else n * 24
    if name == "Cast":
        return n * (8 if y.kind in FLOATS and (x.kind in FLOATS or SIZES[x.kind] < 8) else 24)
    return {
        "ArgMax": elements * 120,
        "ArgMin": elements * 120,
        "GlobalAveragePool": elements * 6 + n * 1_000,
        "GlobalMaxPool": elements * 6 + n * 1_000,
        "InstanceNormalization": n * 26 + prod(x.shape[:2]) * 4_000,
        "RMSNormalization": n * 32 + n // step.inputs[-1].elements * 4_000,
        "LayerNormalization": n * 26 + n // step.inputs[-1].elements * 4_000,
        "CumSum": n * 64,
        "CumProd": n * 64,
        "Trilu": n * 16 + rows * 200,
        "BitCast": n * 16,
        "ReverseSequence": prod(x.shape[:2]) * 256,
        "DepthToSpace": n * (2 if attributes.get("blocksize") == 1 else 32),
        "SpaceToDepth": n * (2 if attributes.get("blocksize") == 1 else 32),
        "CenterCropPad": n * 64,
        "OneHot": n * 16 + elements * 600,
        "Slice": n * 20 + rows * 64,
        "Expand": n * 4,
        "Tile": n * 4,
        "Pad": n * 64,
        **dict.fromkeys(MOVING, 0),
    }[name]


def streamed(step):
    name, x, y = step.operator, step.inputs[0], step.outputs[0]
    outputs = defined_outputs(step)[: 1 if name == "LayerNormalization" else None]
    everything = sum(kind.bytes for kind in (*step.inputs, *outputs))
    if name in ("MatMulInteger", "QLinearMatMul"):
        _, n, k, products = integer_product(step)
        return everything + ((up(n, 16) - n) * k + 2 * n * k) * products
    if name in ("MatMul", "Gemm"):
        _, n, k, products = matrices(step)
        return everything + (up(n, 16) - n) * k * SIZES[x.kind] * products
    if name in ("ConvInteger", "QLinearConv"):
        convolution = IntegerConvolution(step)
        copied = 0 if convolution.gathers() else convolution.copied()
        return everything + 4 * y.elements + convolution.batch * copied
    if name in RECURRENT:
        return everything + Recurrence(step).bytes(x.kind)
    if name == "NegativeLogLikelihoodLoss":
        return 128 * step.inputs[1].elements
    return {
        "Softmax": 2 * everything,
        "Attention": 3 * everything,
        "DynamicQuantizeLinear": 2 * everything,
        "CausalConvWithState": 2 * everything,
        "LogSoftmax": 2 * everything,
        "Hardmax": 2 * everything,
        "LpNormalization": 2 * everything,
        "MeanVarianceNormalization": 2 * everything,
        "CumSum": 2 * everything,
        "CumProd": 2 * everything,
        "Slice": 2 * y.bytes,
        "Cast": x.bytes + y.bytes,
        "TopK": 2 * everything,
        "Einsum": 2 * everything,
        "GatherElements": 2 * y.bytes + 8 * step.inputs[-1].elements,
        "GatherND": 2 * y.bytes + 8 * step.inputs[-1].elements,
        "Gather": 2 * y.bytes + 8 * step.inputs[-1].elements,
    }.get(name, everything)


def gas(step):
    return NODE + max(-(-(arithmetic(step) + widening(step)) // MACS_PER_GAS), -(-streamed(step) // BYTES_PER_GAS))


# ------------------------------------------------------------------------------------------------------- memory

CONVERTING = (
    "MatMul", "Gemm", "Conv", "ConvTranspose", "AveragePool", "GlobalAveragePool", "GlobalMaxPool",
    "Softmax", "LogSoftmax", "Hardmax", "Sum", "Mean", "LpPool", "Einsum", "LRN", "LpNormalization",
    "MeanVarianceNormalization", *NORMALISATIONS, *RECURRENT, *ATTENTIONS,
)  # fmt: skip


def own_scratch(step, computing):
    name, x, attributes = step.operator, step.inputs[0], step.attributes
    if name == "ReduceL1" and x.kind in FLOATS:
        return x.elements
    if name == "ReduceLogSumExp":
        return x.elements + step.outputs[0].elements
    if name == "Einsum":
        sums = Sums(step)
        if not sums.is_product:
            return 0
        matrix = sums.m * sums.k + sums.k * sums.n + sums.m * sums.n
        own = 0 if computing == "f64" or sums.m == 1 else min(48, up(sums.m, 6)) * min(512, sums.k) + up(sums.n, 16) * sums.k
        return sums.b * matrix + own
    if name == "LpNormalization":
        return x.elements // x.shape[attributes["axis"]]
    if name == "MeanVarianceNormalization":
        axes = attributes["axes"]
        groups = prod(size for axis, size in enumerate(x.shape) if axis not in axes)
        return groups + (0 if side_by_side(x.shape, axes) else x.elements)
    if name.startswith("Reduce"):
        return 0 if side_by_side(x.shape, step.axes) else x.elements
    if name == "BatchNormalization" and attributes.get("training_mode"):
        return 2 * x.shape[1]
    if name in RECURRENT:
        return Recurrence(step).scratch(computing)
    if name in ("Sum", "Mean"):
        return step.outputs[0].elements if len(step.inputs) > 2 else 0
    if name == "Attention":
        return Scores(step).scratch(computing)
    if name == "LinearAttention":
        return Delta(step).key * Delta(step).value + Delta(step).value
    if name == "CausalConvWithState":
        return x.shape[2] + step.inputs[1].shape[2] - 1
    if computing == "f64":
        return 0
    if name in ("MatMul", "Gemm"):
        m, n, k, _ = matrices(step)
        # the right operand is never known in advance here
        return product_scratch(m, n, k)
    if name == "Conv":
        c = Convolution(step)
        if c.channels >= 4:
            return min(256, up(c.positions, 16)) * min(512, c.terms)
        dilations = attributes.get("dilations", [1] * len(c.space))
        axes = zip(c.space, attributes["strides"], c.kernel, dilations)
        return prod((o - 1) * s + (k - 1) * d + 1 for o, s, k, d in axes)
    return 0


def scratch(step):
    name, x = step.operator, step.inputs[0]
    if name in ("QuantizeLinear", "DequantizeLinear"):
        return 8 * step.inputs[1].elements
    if name in ("MatMulInteger", "QLinearMatMul"):
        return integer_product_scratch(step)
    if name in ("ConvInteger", "QLinearConv"):
        return IntegerConvolution(step).scratch(step)
    if name == "Pow":
        return 8 * step.inputs[1].elements
    if name == "TopK":
        return (16 if SIZES[x.kind] == 8 else 8) * x.shape[step.attributes["axis"]]
    if name == "OneHot":
        return 8 * x.elements
    if name in ("ArgMax", "ArgMin"):
        return 4 * x.elements if x.kind in ("f16", "bf16") else 0
    if name.startswith("Reduce") and x.kind not in FLOATS:
        return own_scratch(step, x.kind) * SIZES[x.kind]
    pools_halves = name == "MaxPool" and x.kind in ("f16", "bf16")
    if x.kind not in FLOATS or not (name in CONVERTING or name.startswith("Reduce") or pools_halves):
        return 0
    computing = "f64" if any(kind.kind == "f64" for kind in step.inputs) else "f32"
    outputs = defined_outputs(step)[: 1 if name == "MaxPool" else None]
    converted = sum(kind.elements for kind in (*step.inputs, *outputs) if kind.kind != computing)
    return (converted + own_scratch(step, computing)) * SIZES[computing]


def needed(steps, results):
    """Without the steps that only fed what is known before the run."""
    wanted, kept = set(results), []
    for step in reversed(steps):
        if wanted & set(step.output_names):
            wanted |= set(step.input_names)
            kept.append(step)
    return kept[::-1]


def peak_memory(steps, inputs, results):
    """`inputs` are types, `results` the names of the model's outputs, each computed by a step."""
    last_use = {name: at for at, step in enumerate(steps) for name in (*step.input_names, *step.output_names)}
    slots, free, slot_of = [], set(), {}
    for at, step in enumerate(steps):
        for name, kind in zip(step.output_names, step.outputs):
            fitting = [slot for slot in free if slots[slot] >= kind.bytes]
            if name in results or not free:
                slot = len(slots)
                slots.append(0)
            elif fitting:
                slot = min(fitting, key=lambda slot: (slots[slot], slot))
            else:
                slot = max(free, key=lambda slot: (slots[slot], slot))
            free.discard(slot)
            slots[slot] = max(slots[slot], kind.bytes)
            slot_of[name] = slot
        for name in {*step.input_names, *step.output_names}:
            if name in slot_of and last_use[name] == at and name not in results:
                free.add(slot_of[name])
    return sum(kind.bytes for kind in inputs) + sum(slots) + max(map(scratch, steps), default=0)
