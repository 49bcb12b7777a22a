"""Quantised numbers, §9.12: integers that stand for (q - zero point) x scale."""

from itertools import product as box
from math import isinf, isnan

import arithmetic as a
from arithmetic import F32, INTEGERS, Operations
from operators import Tensor, dot, strides, windows

OP = Operations(F32)
BYTES = ("u8", "i8")


def place(steps, zero, kind):
    of = INTEGERS[kind]
    if isnan(steps):
        steps = 0
    elif isinf(steps):
        return of.greatest if steps > 0 else of.least
    return min(max(round(steps) + zero, of.least), of.greatest)


def spread(numbers, kind, draw, shape, zero_kind):
    """Attributes, scales and zero points of every way to spread them, with where each element finds its own."""
    ways = [((), {}, lambda at: 0)]
    for axis in (0, 2):
        ways.append(((shape[axis],), {"axis": axis}, lambda at, axis=axis: at[axis]))
        blocks = list(shape)
        blocks[axis] = -(-shape[axis] // 2)
        inside = lambda at, axis=axis: tuple(p // 2 if i == axis else p for i, p in enumerate(at))
        own = strides(blocks)
        ways.append((tuple(blocks), {"axis": axis, "block_size": 2}, lambda at, f=inside, own=own: dot(f(at), own)))
    for scales_shape, attributes, where in ways:
        scale = numbers.tensor(kind, scales_shape, draw)
        zero = numbers.tensor(zero_kind, scales_shape, numbers.integer)
        yield scale, zero, attributes, where


def conversions(kind, numbers, draw):
    shape = (3, 4, 5)
    for zero_kind in ("u8", "i8", "i16", "u16"):
        for scale, zero, attributes, where in spread(numbers, kind, draw, shape, zero_kind):
            x = numbers.tensor(kind, shape, numbers.any)
            pairs = [(item, where(at)) for item, at in zip(x.items, windows(shape))]
            q = [place(OP.div(item, scale.items[i]), zero.items[i], zero_kind) for item, i in pairs]
            yield "QuantizeLinear", [x, scale, zero], [Tensor(zero_kind, shape, q)], attributes
            stored = numbers.tensor(zero_kind, shape, numbers.integer)
            pairs = [(item, where(at)) for item, at in zip(stored.items, windows(shape))]
            y = [OP.mul(F32.of(float(item - zero.items[i])), scale.items[i]) for item, i in pairs]
            yield "DequantizeLinear", [stored, scale, zero], [(shape, y)], attributes
    if kind == "f32":
        x = numbers.tensor(kind, (60,), numbers.finite)
        high, low = a.maximum(0.0, max(x.items)), a.minimum(0.0, min(x.items))
        scale = OP.div(OP.add(high, -low), 255.0)
        zero = place(OP.div(OP.add(0.0, -low), scale), 0, "u8")
        q = [place(OP.div(item, scale), zero, "u8") for item in x.items]
        outputs = [Tensor("u8", (60,), q), Tensor("f32", (), [scale]), Tensor("u8", (), [zero])]
        yield "DynamicQuantizeLinear", [x], outputs, {}


def matrices(numbers):
    m, n, k = 7, 9, 21
    for x_kind, y_kind in box(BYTES, BYTES):
        for lines in ((), None):
            x, y = numbers.tensor(x_kind, (m, k), numbers.integer), numbers.tensor(y_kind, (k, n), numbers.integer)
            rows, columns = ((m,), (n,)) if lines is None else ((), ())
            x_zero, y_zero = numbers.tensor(x_kind, rows, numbers.integer), numbers.tensor(y_kind, columns, numbers.integer)
            of = lambda numbers, line: numbers.items[line if len(numbers.items) > 1 else 0]
            term = lambda i, j, t: (x.items[i * k + t] - of(x_zero, i)) * (y.items[t * n + j] - of(y_zero, j))
            sums = [INTEGERS["i32"].wrap(sum(term(i, j, t) for t in range(k))) for i in range(m) for j in range(n)]
            yield "MatMulInteger", [x, y, x_zero, y_zero], [Tensor("i32", (m, n), sums)], {}

            positive = lambda kind: abs(numbers.finite(kind)) / 16 + 2.0**-8
            x_scale, y_scale = numbers.tensor("f32", rows, positive), numbers.tensor("f32", columns, positive)
            x_scale, y_scale = (Tensor("f32", s.shape, [F32.of(v) for v in s.items]) for s in (x_scale, y_scale))
            scale, zero = Tensor("f32", (), [2.75]), numbers.tensor(x_kind, (), numbers.integer)
            out = []
            for index, total in enumerate(sums):
                factor = OP.div(OP.mul(of(x_scale, index // n), of(y_scale, index % n)), 2.75)
                out.append(place(OP.mul(F32.of(float(total)), factor), zero.items[0], x_kind))
            inputs = [x, x_scale, x_zero, y, y_scale, y_zero, scale, zero]
            yield "QLinearMatMul", inputs, [Tensor(x_kind, (m, n), out)], {}


def convolutions(numbers):
    for (x_kind, w_kind), (groups, ci, co), (steps, pads) in zip(
        (("u8", "i8"), ("i8", "i8"), ("u8", "u8")),
        ((1, 3, 5), (2, 1, 1), (2, 2, 4)),
        (((1, 1), (1, 0, 1, 2)), ((2, 1), (1, 1, 1, 1)), ((1, 2), (0, 0, 0, 0))),
    ):
        space, kernel, m = (5, 6), (3, 2), groups * co
        x = numbers.tensor(x_kind, (2, groups * ci, *space), numbers.integer)
        w = numbers.tensor(w_kind, (m, ci, *kernel), numbers.integer)
        x_zero, w_zero = numbers.tensor(x_kind, (), numbers.integer), numbers.tensor(w_kind, (m,), numbers.integer)
        out = [(space[i] + pads[i] + pads[2 + i] - kernel[i]) // steps[i] + 1 for i in range(2)]
        sums = []
        for image, channel, *at in windows((2, m, *out)):
            total, group = 0, channel // co
            for c, *tap in windows((ci, *kernel)):
                where = [at[i] * steps[i] + tap[i] - pads[i] for i in range(2)]
                if all(0 <= where[i] < space[i] for i in range(2)):
                    item = x.items[dot((image, group * ci + c, *where), strides(x.shape))]
                    weight = w.items[dot((channel, c, *tap), strides(w.shape))]
                    total += (item - x_zero.items[0]) * (weight - w_zero.items[channel])
            sums.append(INTEGERS["i32"].wrap(total))
        shape, given = (2, m, *out), {"group": groups, "strides": steps, "pads": pads}
        yield "ConvInteger", [x, w, x_zero, w_zero], [Tensor("i32", shape, sums)], given

        w_scale = Tensor("f32", (m,), [F32.of(0.01 * (channel + 1)) for channel in range(m)])
        x_scale, y_scale = Tensor("f32", (), [0.375]), Tensor("f32", (), [1.5])
        y_zero, bias = numbers.tensor(x_kind, (), numbers.integer), numbers.tensor("i32", (m,), numbers.integer)
        y = []
        for index, total in enumerate(sums):
            channel = index // (out[0] * out[1]) % m
            total = INTEGERS["i32"].wrap(total + bias.items[channel])
            factor = OP.div(OP.mul(0.375, w_scale.items[channel]), 1.5)
            y.append(place(OP.mul(F32.of(float(total)), factor), y_zero.items[0], x_kind))
        inputs = [x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias]
        yield "QLinearConv", inputs, [Tensor(x_kind, shape, y)], given


def cases(kind, numbers, draw):
    """Title, inputs, outputs (tensors, or pairs of shape and elements in f32), attributes."""
    if kind in ("f32", "f16", "bf16"):
        yield from conversions(kind, numbers, draw)
    if kind == "f32":
        yield from matrices(numbers)
        yield from convolutions(numbers)
