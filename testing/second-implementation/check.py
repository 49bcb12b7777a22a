"""Compares this implementation with the binary, bit for bit.

    python3 check.py SYNOD [OPERATOR…]

Cases are drawn from a seed, infinities, NaNs, zeros of both signs and subnormals among them. All cases of an element type and opset are
the nodes of one model. f16, bf16 and narrow integers are cast on their way in and out, since .npy files do not have all of them.
Ends with 1 if a bit differs.
"""

import json
import random
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from math import copysign, exp, inf, isnan, nan
from pathlib import Path

import arithmetic as a
import costs
import files
import networks
import operators as o
import quantized
from arithmetic import F32, F64, FLOATS, INTEGERS, f32
from operators import Tensor

OPSET = 20
NEWEST = 27
SEED = 1
# in which type a kind travels to and from the binary
CARRIERS = {"f32": "f32", "f64": "f64", "f16": "f32", "bf16": "f32", "bool": "bool"}


@dataclass
class Case:
    title: str
    inputs: list  # tensors; a plain list of integers is an initialiser
    outputs: list  # tensors: what must come
    attributes: dict = field(default_factory=dict)
    opset: int = OPSET


# ------------------------------------------------------------------------------------------------------- numbers


class Numbers:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def any(self, kind, widest=80):
        """One in eight special, some huge or tiny."""
        draw, of = self.random, FLOATS[kind]
        match draw.randrange(24):
            case 0:
                return draw.choice([0.0, -0.0])
            case 1:
                return draw.choice([inf, -inf, nan])
            case 2:
                return of.of(draw.choice([-1, 1]) * draw.random() * 2.0 ** (of.least + draw.randrange(6)))
            case 3:
                return of.of(draw.choice([-1, 1]) * exp(draw.uniform(-widest, widest)))
            case 4 | 5:
                return draw.randrange(-18, 19) / 2
            case _:
                return of.of(draw.gauss(0, 3))

    def finite(self, kind):
        number = self.any(kind, widest=3)
        return 1.0 if isnan(number) or abs(number) == inf else number

    def integer(self, kind):
        draw, of = self.random, INTEGERS[kind]
        match draw.randrange(4):
            case 0:
                return of.wrap(draw.randrange(-3, 4))
            case 1:
                return draw.choice([of.least, of.greatest, of.least + 1, of.greatest - 1])
            case _:
                return draw.randrange(of.least, of.greatest + 1)

    def tensor(self, kind, shape, draw):
        count = 1
        for dim in shape:
            count *= dim
        return Tensor(kind, tuple(shape), [draw(kind) for _ in range(count)])


# ------------------------------------------------------------------------------------------------------- cases


def stored(kind, shape, items):
    return Tensor(kind, tuple(shape), [FLOATS[kind].of(x) for x in items])


def unary(kind, numbers):
    op = o.operations(kind)
    x = [numbers.any(kind) for _ in range(400)] + [0.0, -0.0, inf, -inf, nan]
    uniform = numbers.random.uniform
    if kind == "f32":
        x += [f32(b) for b in (0x3C413D3A, 0x41178FEB, 0x4C5D65A5, 0x65D890D3, 0x6F31A8EC, 0x34C00000, 0xB4400000)]
        x += [F32.of(uniform(-110, 90)) for _ in range(150)] + [F32.of(uniform(-1e-3, 1e-3)) for _ in range(100)]
    if kind == "f64":
        x += [uniform(-760, 720) for _ in range(150)] + [uniform(-7, 7) for _ in range(300)]
        x += [uniform(0, 1) * 2.0**-1060 for _ in range(20)] + [uniform(1, 2) * 2.0**-1023 for _ in range(5)]
    shape = (len(x),)
    for title, (function, given, taken) in o.UNARY.items():
        y = [function(op, value, *taken) for value in x]
        yield Case(title, [Tensor(kind, shape, x)], [stored(kind, shape, y)], given)


def binary(kind, numbers):
    op, shape = o.operations(kind), (600,)
    x, y = (numbers.tensor(kind, shape, numbers.any) for _ in range(2))
    for title, function in o.BINARY.items():
        yield Case(title, [x, y], [stored(kind, shape, [function(op, *pair) for pair in zip(x.items, y.items)])])
    base = Tensor(kind, shape, [abs(numbers.any(kind)) for _ in range(600)])
    exponent = stored(kind, shape, [numbers.random.uniform(-70, 70) for _ in range(600)])
    powers = [op.kind.of(a.power(*pair)) for pair in zip(base.items, exponent.items)]
    yield Case("Pow broken", [base, exponent], [stored(kind, shape, powers)])
    for to in ("f64" if kind != "f64" else "f32", "bf16", "i64", "u8"):
        draw = numbers.any if to in FLOATS else numbers.integer
        exponent = numbers.tensor(to, shape, draw)
        powers = [op.kind.of(a.power(value, F64.of(float(e)))) for value, e in zip(x.items, exponent.items)]
        yield Case(f"Pow to {to}", [x, exponent], [stored(kind, shape, powers)])
    low, high = (stored(kind, (), [bound]) for bound in (-1.5, 2.25))
    clipped = [a.minimum(a.maximum(value, low.items[0]), high.items[0]) for value in x.items]
    yield Case("Clip", [x, low, high], [Tensor(kind, shape, clipped)])
    for title, function in o.COMPARISONS.items():
        truth = [function(*pair) for pair in zip(x.items, y.items)]
        yield Case(title, [x, y], [Tensor("bool", shape, truth)])
    operands = [numbers.tensor(kind, shape, numbers.any) for shape in ((3, 1, 5), (4, 1), (2, 1, 4, 5))]
    for title, function in (("Add", op.add), ("Pow", lambda x, y: op.kind.of(a.power(x, y))), ("PRelu", None)):
        pair = operands[:2]
        if title == "PRelu":
            pair, function = [operands[2], Tensor(kind, (4, 1), pair[1].items)], lambda x, y: a.leaky(op, x, y)
        yield Case(f"{title} broadcast", pair, [stored(kind, *o.elementwise(function, *pair))])
    for title, function in (("Min", a.minimum), ("Max", a.maximum)):
        so_far = Tensor(kind, *o.elementwise(function, *operands[:2]))
        result = Tensor(kind, *o.elementwise(function, so_far, operands[2]))
        yield Case(f"{title} of three", operands, [result])
    choose = lambda c, x, y: x if c else y
    condition = Tensor("bool", (3, 1, 1), [True, False, True])
    picked = Tensor(kind, *o.elementwise(choose, condition, *operands[:2]))
    yield Case("Where", [condition, *operands[:2]], [picked])


NEWEST = 28


def newer(kind, numbers):
    """Operators of one element and several that came after `OPSET`."""
    op, shape = o.operations(kind), (600,)
    x, y = (numbers.tensor(kind, shape, numbers.any) for _ in range(2))
    for title, (function, given) in o.NEWER_BINARY.items():
        result = stored(kind, shape, [function(op, *pair) for pair in zip(x.items, y.items)])
        yield Case(title, [x, y], [result], given, NEWEST)
    gated = [op.kind.of(a.swish(value, F32.of(-0.4))) for value in x.items]
    yield Case("Swish", [x], [stored(kind, shape, gated)], {"alpha": -0.4}, NEWEST)
    for title, test in (("IsNaN", isnan), ("IsInf", lambda value: abs(value) == inf)):
        yield Case(title, [x], [Tensor("bool", shape, [test(value) for value in x.items])], {}, NEWEST)
    operands = [numbers.tensor(kind, shape, numbers.any) for shape in ((3, 1, 5), (4, 1), (2, 1, 4, 5))]
    for count in (1, 2, 3):
        so_far, items = operands[0].shape, operands[0].items
        for operand in operands[1:count]:
            so_far, items = o.elementwise(op.add, Tensor(kind, so_far, items), operand)
        yield Case("Sum", operands[:count], [stored(kind, so_far, items)], {}, NEWEST)
        mean = [op.div(value, float(count)) for value in items]
        yield Case("Mean", operands[:count], [stored(kind, so_far, mean)], {}, NEWEST)
    box = numbers.tensor(kind, (3, 5, 7), numbers.any)
    for title, start, take in (("CumSum", 0.0, op.add), ("CumProd", 1.0, op.mul)):
        yield from accumulations(title, start, take, box, lambda items: stored(kind, (3, 5, 7), items))
    ones = [0.0] * 105
    for line in o.lines((3, 5, 7), [1]):
        ones[line[o.arg_extreme([box.items[place] for place in line], max, 0)]] = 1.0
    yield Case("Hardmax", [box], [stored(kind, (3, 5, 7), ones)], {"axis": 1}, NEWEST)


def accumulations(title, start, take, box, store):
    for axis, exclusive, backwards in ((0, 0, 0), (1, 1, 0), (2, 0, 1), (1, 1, 1)):
        items = [start] * len(box.items)
        for line in o.lines(box.shape, [axis]):
            x = [box.items[place] for place in line]
            y = o.accumulated(take, start, x, exclusive=exclusive, backwards=backwards)
            for place, value in zip(line, y):
                items[place] = value
        given = {"exclusive": exclusive, "reverse": backwards}
        yield Case(title, [box, [axis]], [store(items)], given, NEWEST)


def products(kind, numbers, draw):
    op = o.operations(kind)
    x, y = (numbers.tensor(kind, shape, draw) for shape in ((5, 37), (37, 19)))
    yield Case("MatMul", [x, y], [stored(kind, (5, 19), o.matmul(op, x, y))])
    stacks = [numbers.tensor(kind, shape, draw) for shape in ((2, 1, 3, 7), (4, 7, 2))]
    yield Case("MatMul stacks", stacks, [stored(kind, (2, 4, 3, 2), o.matmul_of_stacks(op, *stacks))])
    alpha, beta = F32.of(0.7), F32.of(-1.3)
    for shape in ((19,), (5, 1), (5, 19), ()):
        c = numbers.tensor(kind, shape, draw)
        result = stored(kind, (5, 19), o.gemm(op, x, y, c, alpha, beta))
        yield Case("Gemm", [x, y, c], [result], {"alpha": 0.7, "beta": -1.3})
    left, right = Tensor(kind, *o.transposed(x, (1, 0))), Tensor(kind, *o.transposed(y, (1, 0)))
    result = stored(kind, (5, 19), o.gemm(op, x, y, None, alpha, 1.0))
    yield Case("Gemm transposed", [left, right], [result], {"alpha": 0.7, "transA": 1, "transB": 1})
    yield Case("Gemm alone", [x, y], [stored(kind, (5, 19), o.gemm(op, x, y, None, 1.0, 1.0))])


def sums(kind, numbers, draw):
    op = o.operations(kind)
    for equation, shapes in (
        ("ab,bc->ac", [(7, 9), (9, 5)]),
        ("abcd,aecd->acbe", [(2, 3, 4, 5), (2, 6, 4, 5)]),
        ("ab,b,ca->c", [(3, 4), (4,), (2, 3)]),
        ("aab->ba", [(3, 3, 4)]),
        ("ab,bc->b", [(3, 4), (4, 2)]),
        ("ab->", [(5, 7)]),
    ):
        tensors = [numbers.tensor(kind, shape, draw) for shape in shapes]
        y = stored(kind, *o.einsum(op, equation, tensors))
        yield Case("Einsum", tensors, [y], {"equation": equation})


def convolutions(kind, numbers, draw):
    op = o.operations(kind)
    # groups, channels in and out of a group, space, kernel, strides, dilations, pads
    for group, ci, co, space, kernel, steps, dilations, pads in [
        (1, 2, 5, (6, 7), (3, 2), (2, 1), (1, 2), (1, 0, 2, 1)),
        (2, 1, 1, (5, 5), (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
        (2, 2, 3, (6, 5), (2, 3), (1, 2), (2, 1), (0, 2, 1, 1)),
        (1, 3, 4, (9,), (3,), (2,), (2,), (2, 1)),
    ]:
        rank = len(space)
        x = numbers.tensor(kind, (2, group * ci, *space), draw)
        bias = numbers.tensor(kind, (group * co,), draw)
        given = {"group": group, "strides": steps, "dilations": dilations, "pads": pads}
        reach = [(kernel[i] - 1) * dilations[i] + 1 for i in range(rank)]
        around = [pads[i] + pads[rank + i] for i in range(rank)]

        w = numbers.tensor(kind, (group * co, ci, *kernel), draw)
        out = [(space[i] + around[i] - reach[i]) // steps[i] + 1 for i in range(rank)]
        shape = (2, group * co, *out)
        y = o.conv(op, x, w, bias, shape, group=group, steps=steps, dilations=dilations, pads=pads)
        yield Case("Conv", [x, w, bias], [stored(kind, shape, *y)], given)

        w = numbers.tensor(kind, (group * ci, co, *kernel), draw)
        extra = [int(step > 1) for step in steps]
        out = [(space[i] - 1) * steps[i] + reach[i] + extra[i] - around[i] for i in range(rank)]
        shape = (2, group * co, *out)
        y = o.conv_transpose(op, x, w, bias, shape, group=group, steps=steps, dilations=dilations, pads=pads)
        yield Case("ConvTranspose", [x, w, bias], [stored(kind, shape, *y)], given | {"output_padding": extra})


def single_positions(kind, numbers, draw):
    """Convolutions with one output element: of some channels, and of more taps than windows are copied for."""
    op = o.operations(kind)
    for channels, space in ((5, (3, 4)), (1, (33_000,))):
        x, w = (numbers.tensor(kind, (count, 2, *space), draw) for count in (1, channels))
        bias, ones = numbers.tensor(kind, (channels,), draw), [1] * len(space)
        shape = (1, channels, *ones)
        y = o.conv(op, x, w, bias, shape, group=1, steps=ones, dilations=ones, pads=[0] * 2 * len(space))
        yield Case("Conv whole", [x, w, bias], [stored(kind, shape, *y)], {"strides": ones})


def padded_by_rule(kind, numbers, draw):
    """Windows whose padding follows from `auto_pad` or `output_shape` (8.1, 9.4)."""
    op = o.operations(kind)
    space, kernel, steps, dilations = (7, 6), (3, 4), (2, 3), (1, 1)
    x, bias = numbers.tensor(kind, (1, 2, *space), draw), numbers.tensor(kind, (3,), draw)
    given = {"strides": steps}
    for rule in ("SAME_UPPER", "SAME_LOWER"):
        halves = lambda total: (total // 2, total - total // 2)[:: 1 if rule == "SAME_UPPER" else -1]
        out = [-(-size // step) for size, step in zip(space, steps)]
        totals = [max(0, (out[i] - 1) * steps[i] + kernel[i] - space[i]) for i in range(2)]
        pads = [half for pair in zip(*map(halves, totals)) for half in pair]
        w, shape = numbers.tensor(kind, (3, 2, *kernel), draw), (1, 3, *out)
        y = o.conv(op, x, w, bias, shape, group=1, steps=steps, dilations=dilations, pads=pads)
        yield Case(f"Conv {rule}", [x, w, bias], [stored(kind, shape, *y)], given | {"auto_pad": rule})
        values, *_ = o.pools(op, x, (1, 2, *out), kernel, steps, pads)
        pool = given | {"auto_pad": rule, "kernel_shape": kernel}
        yield Case(f"MaxPool {rule}", [x], [Tensor(kind, (1, 2, *out), values)], pool)

        w = numbers.tensor(kind, (2, 3, *kernel), draw)
        whole = [(space[i] - 1) * steps[i] + kernel[i] for i in range(2)]
        for out, extra in (
            ([space[i] * steps[i] for i in range(2)], {"auto_pad": rule}),
            ([12, 17], {"auto_pad": rule, "output_shape": [12, 17]}),
        ):
            totals = [max(0, whole[i] - out[i]) for i in range(2)]
            pads = [half for pair in zip(*map(halves, totals)) for half in pair]
            shape = (1, 3, *out)
            y = o.conv_transpose(op, x, w, bias, shape, group=1, steps=steps, dilations=dilations, pads=pads)
            yield Case(f"ConvTranspose {rule}", [x, w, bias], [stored(kind, shape, *y)], given | extra)


def pools(kind, numbers, draw):
    op = o.operations(kind)
    x = numbers.tensor(kind, (2, 3, 7, 8), draw)
    space, kernel, steps, pads = (7, 8), (3, 2), (2, 3), (1, 1, 1, 0)
    for ceil in (0, 1):
        out = []
        for i in range(2):
            room = space[i] + pads[i] + pads[2 + i] - kernel[i]
            size = room // steps[i] + 1
            out.append(size + bool(ceil and room % steps[i] and size * steps[i] < space[i] + pads[i]))
        shape = (2, 3, *out)
        values, indices, means, padded = o.pools(op, x, shape, kernel, steps, pads)
        given = {"kernel_shape": kernel, "strides": steps, "pads": pads, "ceil_mode": ceil}
        yield Case("MaxPool", [x], [Tensor(kind, shape, values)], given)
        if kind in ("f32", "f64"):
            both = [Tensor(kind, shape, values), Tensor("i64", shape, indices)]
            yield Case("MaxPool indices", [x], both, given)
            # the plane's offset stays, within it the first axis of space is fastest
            turned = [i - i % 56 + i % 56 % 8 * 7 + i % 56 // 8 for i in indices]
            both = [Tensor(kind, shape, values), Tensor("i64", shape, turned)]
            yield Case("MaxPool by columns", [x], both, given | {"storage_order": 1})
        yield Case("AveragePool", [x], [stored(kind, shape, means)], given)
        for p in (1, 2, 3) if not ceil else ():
            y = o.lp_pool(op, x, shape, kernel, steps, pads, p)
            yield Case("LpPool", [x], [stored(kind, shape, y)], given | {"p": p}, NEWEST)
        counting = given | {"count_include_pad": 1}
        yield Case("AveragePool padded", [x], [stored(kind, shape, padded)], counting)
    for title, rule in (("GlobalAveragePool", "ReduceMean"), ("GlobalMaxPool", "ReduceMax")):
        planes = [x.items[start : start + 56] for start in range(0, len(x.items), 56)]
        result = stored(kind, (2, 3, 1, 1), [o.REDUCTIONS[rule](op, plane) for plane in planes])
        yield Case(title, [x], [result])


def reductions(kind, numbers, draw):
    op, shape = o.operations(kind), (3, 5, 19)
    x = numbers.tensor(kind, shape, draw)
    for axis in (1, 2):
        softmax, logarithm = o.softmaxes(op, x, axis)
        yield Case("Softmax", [x], [stored(kind, shape, softmax)], {"axis": axis})
        yield Case("LogSoftmax", [x], [stored(kind, shape, logarithm)], {"axis": axis})
    # before version 13 everything from the axis on is one line
    softmax, logarithm = o.softmaxes(op, Tensor(kind, (3, 95), x.items), 1)
    yield Case("Softmax flat", [x], [stored(kind, shape, softmax)], opset=11)
    yield Case("LogSoftmax flat", [x], [stored(kind, shape, logarithm)], opset=11)
    for axes in ([0, 2], [1], [2], [0, 1], [0, 1, 2]):
        lines = [[x.items[place] for place in line] for line in o.lines(shape, axes)]
        kept = [shape[axis] for axis in range(3) if axis not in axes]
        for title, rule in o.REDUCTIONS.items():
            result = stored(kind, kept, [rule(op, line) for line in lines])
            yield Case(title, [x, axes], [result], {"keepdims": 0})
    columns = [[x.items[place] for place in line] for line in o.lines(shape, [1])]
    for title, extreme in (("ArgMax", max), ("ArgMin", min)):
        for last in (0, 1):
            result = Tensor("i64", (3, 19), [o.arg_extreme(column, extreme, last) for column in columns])
            yield Case(title, [x], [result], {"axis": 1, "keepdims": 0, "select_last_index": last})


def normalizations(kind, numbers, draw):
    op = o.operations(kind)
    x, scale, bias = (numbers.tensor(kind, shape, draw) for shape in ((4, 53), (53,), (53,)))
    y, means, deviations = o.layer_normalization(op, x, scale, bias)
    outputs = [stored(kind, (4, 53), y), stored("f32", (4, 1), means), stored("f32", (4, 1), deviations)]
    yield Case("LayerNormalization", [x, scale, bias], outputs)
    y, *_ = o.layer_normalization(op, x, scale)
    yield Case("LayerNormalization unbiased", [x, scale], [stored(kind, (4, 53), y)])

    x, scale, bias = (numbers.tensor(kind, shape, draw) for shape in ((2, 3, 5, 7), (5, 7), (5, 7)))
    y, *_ = o.layer_normalization(op, x, scale, bias)
    yield Case("LayerNormalization axes", [x, scale, bias], [stored(kind, (2, 3, 5, 7), y)], {"axis": 2})

    shape = (2, 3, 4, 5)
    x = numbers.tensor(kind, shape, draw)

    def line_by_line(axes, function):
        items = [0.0] * len(x.items)
        for line in o.lines(shape, axes):
            for place, value in zip(line, function([x.items[place] for place in line])):
                items[place] = value
        return [stored(kind, shape, items)]

    for axis, p in ((1, 1), (3, 2)):
        y = line_by_line([axis], lambda line: o.lp_normalization(op, line, p))
        yield Case("LpNormalization", [x], y, {"axis": axis, "p": p})
    for axes in ((0, 2, 3), (1,), (2, 3)):
        y = line_by_line(axes, lambda line: o.mean_variance_normalization(op, line))
        yield Case("MeanVarianceNormalization", [x], y, {"axes": axes})
    for size in (2, 3):
        taken = {"size": size, "alpha": F32.of(0.3), "beta": F32.of(0.7), "bias": F32.of(1.5)}
        y = line_by_line([1], lambda line: o.lrn(op, line, **taken))
        yield Case("LRN", [x], y, taken)
    classes = [numbers.random.randrange(-1, 3) for _ in range(40)]
    weights = numbers.tensor(kind, (3,), draw)
    columns = [[x.items[place] for place in line] for line in o.lines(shape, [1])]
    softmax, logarithm = o.softmaxes(op, x, 1)
    log_columns = [[logarithm[place] for place in line] for line in o.lines(shape, [1])]
    for title, scores, more in (
        ("NegativeLogLikelihoodLoss", columns, []),
        ("SoftmaxCrossEntropyLoss", log_columns, [stored(kind, shape, logarithm)]),
    ):
        for given in (None, weights):
            lost = o.losses(op, scores, classes, given and given.items, -1)
            for reduction, items in lost.items():
                result = stored(kind, (2, 4, 5) if reduction == "none" else (), items)
                inputs = [x, Tensor("i64", (2, 4, 5), classes), *([given] if given else [])]
                attributes = {"reduction": reduction, "ignore_index": -1}
                yield Case(title, inputs, [result, *more], attributes, opset=13)

    shape = (2, 3, 23)
    x, scale, bias, mean = (numbers.tensor(kind, s, draw) for s in (shape, (3,), (3,), (3,)))
    variance = Tensor(kind, (3,), [abs(value) for value in numbers.tensor(kind, (3,), draw).items])
    (y,) = o.instance_normalization(op, x, scale, bias)
    yield Case("InstanceNormalization", [x, scale, bias], [stored(kind, shape, y)])
    moments = [x, scale, bias, mean, variance]
    (y,) = o.batch_normalization(op, *moments)
    yield Case("BatchNormalization", moments, [stored(kind, shape, y)])
    y, *running = o.batch_normalization(op, *moments, momentum=F32.of(0.9))
    outputs = [stored(kind, shape, y), *(stored(kind, (3,), items) for items in running)]
    yield Case("BatchNormalization training", moments, outputs, {"training_mode": 1})


def small_networks(kind, numbers, draw):
    for title, inputs, outputs, attributes in networks.cases(kind, numbers, draw):
        opset = OPSET if title in ("LSTM", "GRU", "RNN") else NEWEST
        yield Case(title, inputs, [stored(kind, *output) for output in outputs], attributes, opset)


def quantization(kind, numbers, draw):
    for title, inputs, outputs, attributes in quantized.cases(kind, numbers, draw):
        outputs = [y if isinstance(y, Tensor) else stored(kind, *y) for y in outputs]
        yield Case(title, inputs, outputs, attributes, NEWEST)


def casts(kind, numbers):
    """From f32 and f64 to every type, and from integers to floats."""
    x = numbers.tensor(kind, (500,), numbers.any)
    for to in FLOATS:
        yield Case("Cast", [x], [stored(to, x.shape, x.items)], {"to": files.CODES[to]})
    for to, of in INTEGERS.items():
        truncated = Tensor(to, x.shape, [of.of_float(value) for value in x.items])
        yield Case("Cast", [x], [truncated], {"to": files.CODES[to]})
    truth = Tensor("bool", x.shape, [value != 0 for value in x.items])
    yield Case("Cast", [x], [truth], {"to": files.CODES["bool"]})


def logic(numbers):
    x, y = (Tensor("bool", (40,), [numbers.random.random() < 0.5 for _ in range(40)]) for _ in range(2))
    yield Case("And", [x, y], [Tensor("bool", (40,), [p and q for p, q in zip(x.items, y.items)])])
    yield Case("Or", [x, y], [Tensor("bool", (40,), [p or q for p, q in zip(x.items, y.items)])])
    yield Case("Xor", [x, y], [Tensor("bool", (40,), [p != q for p, q in zip(x.items, y.items)])])
    yield Case("Not", [x], [Tensor("bool", (40,), [not p for p in x.items])])
    yield Case("Equal", [x, y], [Tensor("bool", (40,), [p == q for p, q in zip(x.items, y.items)])])
    box = Tensor("bool", (8, 5), x.items)
    rows = [box.items[start : start + 5] for start in range(0, 40, 5)]
    for title, extreme in (("ReduceMax", any), ("ReduceMin", all)):
        reduced = Tensor("bool", (8,), [extreme(row) for row in rows])
        yield Case(title, [box, [1]], [reduced], {"keepdims": 0})


def movement(kind, numbers, draw):
    x = numbers.tensor(kind, (3, 4, 5), draw)
    own = lambda shape, source: [o.moved(x, shape, source)]
    yield Case("Identity", [x], [x])
    yield Case("Transpose", [x], [Tensor(kind, *o.transposed(x, (2, 0, 1)))], {"perm": [2, 0, 1]})
    yield Case("Transpose rows", [x], [Tensor(kind, *o.transposed(x, (1, 0, 2)))], {"perm": [1, 0, 2]})
    yield Case("Transpose reversed", [x], [Tensor(kind, *o.transposed(x, (2, 1, 0)))])
    yield Case("Reshape", [x, [0, -1, 2]], [Tensor(kind, (3, 10, 2), x.items)])
    yield Case("Flatten", [x], [Tensor(kind, (12, 5), x.items)], {"axis": -1})
    yield Case("Unsqueeze", [x, [0, -1]], [Tensor(kind, (1, 3, 4, 5, 1), x.items)])
    yield Case("Squeeze", [Tensor(kind, (1, 60, 1), x.items), [0]], [Tensor(kind, (60, 1), x.items)])
    yield Case("Concat", [x, x], own((3, 8, 5), lambda at: (at[0], at[1] % 4, at[2])), {"axis": 1})
    parts = [own((3, 4, size), lambda at, start=start: (at[0], at[1], start + at[2]))[0] for start, size in ((0, 2), (2, 3))]
    yield Case("Split", [x, [2, 3]], parts, {"axis": 2})
    parts = [own((3, 4, size), lambda at, start=start: (at[0], at[1], start + at[2]))[0] for start, size in ((0, 3), (3, 2))]
    yield Case("Split uneven", [x], parts, {"axis": -1, "num_outputs": 2})
    # starts, ends, axes, steps: rows 2, 1, 0 and columns 1, 3
    reversed_rows = own((3, 4, 2), lambda at: (2 - at[0], at[1], 1 + 2 * at[2]))
    yield Case("Slice", [x, [99, 1], [-99, 4], [0, -1], [-1, 2]], reversed_rows)
    picked = own((3, 2, 5), lambda at: (at[0], (3, 1)[at[1]], at[2]))
    yield Case("Gather", [x, [-1, 1]], picked, {"axis": 1})
    yield Case("Expand", [Tensor(kind, (3, 1, 5), x.items[:15]), [2, 1, 4, 1]],
               [Tensor(kind, (2, 3, 4, 5), [x.items[r * 5 + c] for _ in range(2) for r in range(3) for _ in range(4) for c in range(5)])])  # fmt: skip
    yield Case("Tile", [x, [2, 1, 3]], own((6, 4, 15), lambda at: (at[0] % 3, at[1], at[2] % 5)))
    for mode in ("constant", "edge", "reflect", "wrap"):
        # before and after each axis; the last loses an element and gains more than it has
        before, after = (1, 0, -1), (2, 3, 7)
        shape = [dim + b + e for dim, b, e in zip(x.shape, before, after)]
        sources = [o.padding(mode, dim) for dim in x.shape]

        def source(at):
            places = [from_axis(place - b) for from_axis, place, b in zip(sources, at, before)]
            return None if None in places else places

        yield Case(f"Pad {mode}", [x, [*before, *after]], own(shape, source), {"mode": mode})
    for upper in (0, 1):
        for k in (-2, 0, 1):
            kept = lambda at, k=k, upper=upper: at if (at[2] - at[1] >= k if upper else at[2] - at[1] <= k) else None
            yield Case("Trilu", [x, [k]], own((3, 4, 5), kept), {"upper": upper})
    yield from by_index(kind, numbers, draw)
    for mode in ("DCR", "CRD"):
        deep = numbers.tensor(kind, (2, 12, 3, 2), draw)

        def depth(at, mode=mode):
            row, column = at[2] % 2, at[3] % 2
            block = row * 2 + column
            channel = block * 3 + at[1] if mode == "DCR" else at[1] * 4 + block
            return at[0], channel, at[2] // 2, at[3] // 2

        wide = o.moved(deep, (2, 3, 6, 4), depth)
        yield Case("DepthToSpace", [deep], [wide], {"mode": mode, "blocksize": 2}, NEWEST)
        yield Case("SpaceToDepth", [wide], [deep], {"mode": mode, "blocksize": 2}, NEWEST)
    yield Case("DepthToSpace alone", [deep], [deep], {"blocksize": 1}, NEWEST)
    resized = [(2, 7, 5), (6, 1, 2)]
    for shape in resized:
        shift = [int((to - size) / 2) for to, size in zip(shape, x.shape)]

        def centred(at, shift=shift):
            places = [place - by for place, by in zip(at, shift)]
            return places if all(0 <= place < size for place, size in zip(places, x.shape)) else None

        yield Case("CenterCropPad", [x, list(shape)], own(shape, centred))
    yield Case("Shape", [x], [Tensor("i64", (2,), [4, 5])], {"start": 1})
    yield Case("Size", [x], [Tensor("i64", (), [60])])


def by_index(kind, numbers, draw):
    x = numbers.tensor(kind, (3, 4, 5), draw)
    pick = numbers.random.randrange
    along = Tensor("i64", (2, 6, 5), [pick(-4, 4) for _ in range(60)])
    places = dict(zip(o.windows(along.shape), along.items))
    result = o.moved(x, along.shape, lambda at: (at[0], places[at] % 4, at[2]))
    yield Case("GatherElements", [x, along], [result], {"axis": 1})
    rows = Tensor("i64", (7, 2), [index for _ in range(7) for index in (pick(-3, 3), pick(-4, 4))])
    named = [(rows.items[i * 2] % 3, rows.items[i * 2 + 1] % 4) for i in range(7)]
    yield Case("GatherND", [x, rows], [o.moved(x, (7, 5), lambda at: (*named[at[0]], at[1]))])
    rules = {"none": lambda old, new: new}
    if kind in FLOATS:
        op = o.operations(kind)
        round_ = FLOATS[kind].of
        rules |= {"add": lambda p, q: round_(op.add(p, q)), "mul": lambda p, q: round_(op.mul(p, q))}
        rules |= {"max": a.maximum, "min": a.minimum}
    elif kind in INTEGERS:
        of = INTEGERS[kind]
        rules |= {"add": of.add, "mul": of.mul, "max": max, "min": min}
    updates, slices = numbers.tensor(kind, along.shape, draw), numbers.tensor(kind, (7, 5), draw)
    # an axis of updates may be longer than the data's only along the axis of the indices
    for rule, take in rules.items():
        y = o.scattered(x, [((at[0], places[at] % 4, at[2]), value) for at, value in zip(o.windows(along.shape), updates.items)], take)
        yield Case("ScatterElements", [x, along, updates], [y], {"axis": 1, "reduction": rule})
        y = o.scattered(x, [((*named[at[0]], at[1]), value) for at, value in zip(o.windows((7, 5)), slices.items)], take)
        yield Case("ScatterND", [x, rows, slices], [y], {"reduction": rule})
    lengths = [pick(0, 4) for _ in range(4)]
    reversed_ = o.moved(x, x.shape, lambda at: (lengths[at[1]] - 1 - at[0] if at[0] < lengths[at[1]] else at[0], *at[1:]))
    yield Case("ReverseSequence", [x, Tensor("i64", (4,), lengths)], [reversed_])
    if kind == "bool":
        return
    for largest in (0, 1):
        items, order = [], []
        for line in o.lines(x.shape, [1]):
            ranked = o.top([x.items[place] for place in line], largest)[:3]
            order.append(ranked)
            items.append([x.items[line[rank]] for rank in ranked])
        flat = lambda parts: [part[rank] for outer in range(3) for rank in range(3) for part in parts[outer * 5 : outer * 5 + 5]]
        result = [Tensor(kind, (3, 3, 5), flat(items)), Tensor("i64", (3, 3, 5), flat(order))]
        yield Case("TopK", [x, [3]], result, {"axis": 1, "largest": largest})


def floats(kind, numbers):
    yield from unary(kind, numbers)
    yield from binary(kind, numbers)
    yield from newer(kind, numbers)
    yield from movement(kind, numbers, numbers.any)
    if kind == "f32":
        yield from logic(numbers)
    for draw in (numbers.finite, numbers.any):
        for family in (
            products, sums, convolutions, single_positions, padded_by_rule, pools, reductions, normalizations,
            small_networks, quantization,
        ):  # fmt: skip
            yield from family(kind, numbers, draw)
    if kind in ("f32", "f64"):
        yield from casts(kind, numbers)


def integers(kind, numbers):
    of, shape = INTEGERS[kind], (200,)
    x, y = (numbers.tensor(kind, shape, numbers.integer) for _ in range(2))
    tensor = lambda items, shape=shape: Tensor(kind, tuple(shape), items)
    for title, function in o.INTEGER_UNARY.items():
        if kind[0] == "i" or title in ("Abs", "Sign"):
            yield Case(title, [x], [tensor([function(of, value) for value in x.items])])
    low, high = (tensor([of.wrap(bound)], ()) for bound in (-7 if kind[0] == "i" else 7, 100))
    clipped = [min(max(value, low.items[0]), high.items[0]) for value in x.items]
    yield Case("Clip", [x, low, high], [tensor(clipped)])
    for title, function in o.INTEGER_BINARY.items():
        yield Case(title, [x, y], [tensor([function(of, *pair) for pair in zip(x.items, y.items)])])
    for title, function in o.COMPARISONS.items():
        truth = [function(*pair) for pair in zip(x.items, y.items)]
        yield Case(title, [x, y], [Tensor("bool", shape, truth)])
    for title, (function, given) in o.NEWER_INTEGER_BINARY.items():
        shifts = tensor([value % 70 - 3 if kind[0] == "i" else value % 70 for value in y.items])
        second = shifts if title.startswith("BitShift") else y
        bits = lambda value: value if value < of.greatest.bit_length() + (kind[0] == "i") else -1
        amounts = [bits(value) for value in second.items] if second is shifts else second.items
        result = [function(of, *pair) for pair in zip(x.items, amounts)]
        yield Case(title, [x, second], [tensor(result)], given, NEWEST)
    yield Case("BitwiseNot", [x], [tensor([of.wrap(~value) for value in x.items])], {}, NEWEST)
    shrunk = [of.of_float(o.shrink(a.Operations(F64), F64.nearest(a.Fraction(v)), 1.5, 2.25)) for v in x.items]
    yield Case("Shrink", [x], [tensor(shrunk)], {"lambd": 1.5, "bias": 2.25})
    if kind in ("i32", "i64", "u32", "u64"):
        cube = tensor(x.items[:105], (3, 5, 7))
        for title, start, take in (("CumSum", 0, of.add), ("CumProd", 1, of.mul)):
            yield from accumulations(title, start, take, cube, lambda items: tensor(items, (3, 5, 7)))
    for to, narrow in INTEGERS.items():
        yield Case("Cast", [x], [Tensor(to, shape, [narrow.wrap(v) for v in x.items])], {"to": files.CODES[to]})
    for to, narrow in FLOATS.items():
        nearest = [narrow.nearest(a.Fraction(v)) for v in x.items]
        yield Case("Cast", [x], [Tensor(to, shape, nearest)], {"to": files.CODES[to]})
    yield from movement(kind, numbers, numbers.integer)
    if kind not in ("i16", "u16"):
        box = tensor(x.items[:30], (2, 3, 5))
        lines = [[box.items[place] for place in line] for line in o.lines((2, 3, 5), [0, 2])]
        for title in ("ReduceMax", "ReduceMin"):
            reduced = tensor([o.INTEGER_REDUCTIONS[title](of, line) for line in lines], (3,))
            yield Case(title, [box, [0, 2]], [reduced], {"keepdims": 0})
    if kind in ("i32", "i64"):
        small = tensor([numbers.random.randrange(-5, 70) for _ in x.items])
        bases = tensor([numbers.random.choice([value, value % 7 - 3]) for value in x.items])
        powers = [of.power(*pair) for pair in zip(bases.items, small.items)]
        yield Case("Pow", [bases, small], [tensor(powers)])
        for to in ("u64", "i8"):
            exponent = numbers.tensor(to, shape, numbers.integer)
            powers = [of.power(*pair) for pair in zip(bases.items, exponent.items)]
            yield Case(f"Pow to {to}", [bases, exponent], [tensor(powers)])
        broken = numbers.tensor("f32", shape, numbers.any)
        powers = [of.of_float(a.power(float(x), e)) for x, e in zip(bases.items, broken.items)]
        yield Case("Pow to f32", [bases, broken], [tensor(powers)])
    if kind in ("i32", "i64", "u32", "u64"):
        slopes = [of.mul(value, slope) if value < 0 else value for value, slope in zip(x.items, y.items)]
        yield Case("PRelu", [x, y], [tensor(slopes)])
        m, n = tensor(x.items[:24], (4, 6)), tensor(y.items[:30], (6, 5))
        dot = lambda i, j: of.wrap(sum(m.items[i * 6 + k] * n.items[k * 5 + j] for k in range(6)))
        result = [dot(i, j) for i in range(4) for j in range(5)]
        yield Case("MatMul", [m, n], [tensor(result, (4, 5))])
        scaled = [of.wrap(-3 * value) for value in result]
        yield Case("Gemm", [m, n], [tensor(scaled, (4, 5))], {"alpha": -3.0})
        for title in ("ReduceSum", "ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare"):
            reduced = tensor([o.INTEGER_REDUCTIONS[title](of, line) for line in lines], (3,))
            yield Case(title, [box, [0, 2]], [reduced], {"keepdims": 0})


# ------------------------------------------------------------------------------------------------------- the binary


def carrier(kind):
    return CARRIERS.get(kind, "i64")


@dataclass
class Graph:
    """One model with all cases as nodes."""

    arguments: list  # that name its inputs
    inputs: list  # types
    steps: list
    results: set  # names
    known_bytes: int = 0  # of results that planning computes


def type_of(x):
    return costs.Type("i64", (len(x),)) if isinstance(x, list) else costs.Type(x.kind, x.shape)


def write_model(cases, folder):
    nodes, ends, graph = [], [], Graph([], [], [], set())

    def add(operator, inputs, outputs, attributes, opset, axes=()):
        """A node; inputs and outputs are pairs of name and type."""
        (input_names, input_types), (output_names, output_types) = zip(*inputs), zip(*outputs)
        nodes.append(files.node(operator, input_names, output_names, attributes))
        if operator not in ("Shape", "Size"):
            step = (operator, input_types, output_types, attributes, opset, input_names, output_names, axes)
            graph.steps.append(costs.Step(*step))
        else:
            graph.known_bytes += output_types[0].bytes

    for number, case in enumerate(cases):
        inputs, outputs, casts = [], [], []
        for place, x in enumerate(case.inputs):
            name = f"x{number}_{place}"
            if isinstance(x, list):
                ends.append(files.integers(name, x))
                inputs.append((name, type_of(x)))
                continue
            through = costs.Type(carrier(x.kind), x.shape)
            items = [as_carried(item, x.kind) for item in x.items]
            files.write_array(folder / f"{name}.npy", through.kind, x.shape, items)
            graph.arguments += ["--input", f"{name}={folder / name}.npy"]
            graph.inputs.append(through)
            ends.append(files.value(11, name, through.kind, x.shape))
            if through.kind != x.kind:
                to = {"to": files.CODES[x.kind]}
                add("Cast", [(name, through)], [(f"{name}_cast", type_of(x))], to, case.opset)
                name += "_cast"
            inputs.append((name, type_of(x)))
        for place, y in enumerate(case.outputs):
            name = f"y{number}_{place}"
            through = costs.Type(carrier(y.kind), y.shape)
            ends.append(files.value(12, name, through.kind, y.shape))
            graph.results.add(name)
            if through.kind == y.kind:
                outputs.append((name, through))
            else:
                outputs.append((f"{name}_cast", type_of(y)))
                casts.append((outputs[-1], (name, through)))
        axes = next((x for x in case.inputs if isinstance(x, list)), ())
        add(case.title.split()[0], inputs, outputs, case.attributes, case.opset, axes)
        for computed, (name, through) in casts:
            add("Cast", [computed], [(name, through)], {"to": files.CODES[through.kind]}, case.opset)
    (opset,) = {case.opset for case in cases}
    (folder / "model.onnx").write_bytes(files.model(opset, *nodes, *ends))
    return graph


def as_carried(item, kind):
    """A u64 travels as the i64 with its bits."""
    return INTEGERS["i64"].wrap(item) if kind == "u64" else item


def ask(binary, *arguments):
    finished = subprocess.run([binary, "model", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if finished.returncode != 0:
        sys.exit(f"the binary refused the model: {finished.stderr.strip()}")
    return finished.stdout


def compare_costs(kind, graph, told):
    """Prints how gas and memory differ from what `inspect` told; returns how many operators do."""
    results = graph.results & {name for step in graph.steps for name in step.output_names}
    steps = costs.needed(graph.steps, results)
    expected = Counter()
    for step in steps:
        expected[step.operator] += costs.gas(step)
    found = {entry["operator"]: entry["gas"] for entry in told["operators"]}
    wrong = [name for name in expected if found.get(name) != expected[name]]
    for name in wrong:
        print(f"{name} of {kind}: costs {found.get(name)} gas there, {expected[name]} here")
    # what Shape and Size give is known before a run: their results are copies
    memory = costs.peak_memory(steps, graph.inputs, results) + graph.known_bytes
    if memory != told["peak_memory"]:
        wrong.append("memory")
        print(f"the model of {kind} takes {told['peak_memory']} bytes there, {memory} here")
    return len(wrong)


def same(got, expected, kind):
    """Equal in every bit; a NaN must be the canonical one."""
    if kind not in FLOATS:
        return got == as_carried(expected, kind)
    if isnan(expected):
        # the carriers' own NaN: 16-bit NaNs become it when cast
        canonical = "<d" if kind == "f64" else "<f"
        return isnan(got) and struct.pack(canonical, got) == struct.pack(canonical, nan)
    return got == expected and copysign(1.0, got) == copysign(1.0, expected)


def compare(kind, cases, out):
    """Prints what differs; returns how many elements agree and how many cases differ."""
    agreed, differing = 0, 0
    for number, case in enumerate(cases):
        wrong = []
        for place, y in enumerate(case.outputs):
            shape, items = files.read_array(out / f"y{number}_{place}.npy")
            if tuple(shape) != y.shape:
                wrong.append(f"output {place} has shape {shape}, not {y.shape}")
                continue
            pairs = list(zip(items, y.items))
            bad = [at for at, (got, expected) in enumerate(pairs) if not same(got, expected, y.kind)]
            agreed += len(pairs) - len(bad)
            if bad:
                got, expected = pairs[bad[0]]
                at = f"output {place}, element {bad[0]}: {got!r} there, {expected!r} here"
                wrong.append(f"{len(bad)} of {len(pairs)} differ ({at})")
        if wrong:
            differing += 1
            print(f"{case.title} of {kind}: {'; '.join(wrong)}")
    return agreed, differing


def main(binary, *wanted):
    agreed = differing = 0
    for kind in (*FLOATS, *INTEGERS):
        numbers = Numbers(f"{SEED} {kind}")
        drawn = floats(kind, numbers) if kind in FLOATS else integers(kind, numbers)
        by_opset = {}
        for case in drawn:
            if not wanted or case.title.split()[0] in wanted:
                by_opset.setdefault(case.opset, []).append(case)
        for cases in by_opset.values():
            with tempfile.TemporaryDirectory() as folder:
                model, out = Path(folder) / "model.onnx", Path(folder) / "out"
                graph = write_model(cases, Path(folder))
                told = json.loads(ask(binary, "inspect", model, "--json"))
                differing += compare_costs(kind, graph, told)
                for options in ([], ["--reference"]):
                    ask(binary, "run", model, "--output-dir", out, *options, *graph.arguments)
                    right, wrong = compare(kind, cases, out)
                    agreed, differing = agreed + right, differing + wrong
    print(f"{agreed} elements agree in every bit; {differing} cases differ")
    return 1 if differing or not agreed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
