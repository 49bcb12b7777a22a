"""Section 9 of docs/spec/arithmetic.md: operators, one element at a time.

An operator is a function of the computing type's operations, its input tensors and its attributes; it returns the outputs in
the computing type, and `check.py` stores them. Only what decides bits is here: shapes come from whoever draws the case.
"""

from dataclasses import dataclass
from functools import reduce as fold
from itertools import product as box
from math import ceil, copysign, floor, inf, isinf, isnan, nan, sqrt

import arithmetic as a
from arithmetic import F32, F64, Operations, f32


@dataclass
class Tensor:
    kind: str
    shape: tuple
    items: list


def operations(kind):
    """Those of the type that an operator on `kind` computes in."""
    return Operations(F64 if kind == "f64" else F32)


def strides(shape):
    steps = [1] * len(shape)
    for axis in reversed(range(len(shape) - 1)):
        steps[axis] = steps[axis + 1] * shape[axis + 1]
    return steps


def dot(place, steps):
    return sum(at * step for at, step in zip(place, steps))


def windows(shape):
    """All places of a shape, row-major."""
    return box(*(range(size) for size in shape))


def broadcast_shape(*shapes):
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(next((dim for dim in dims if dim != 1), 1) for dims in zip(*padded))


def broadcast_index(place, shape):
    """Where an operand of `shape` is read for the output element at `place`."""
    own = [at if dim != 1 else 0 for at, dim in zip(place[len(place) - len(shape) :], shape)]
    return dot(own, strides(shape))


def elementwise(function, *tensors):
    """Shape and elements of a function of broadcast operands."""
    shape = broadcast_shape(*(tensor.shape for tensor in tensors))
    operand = lambda tensor, place: tensor.items[broadcast_index(place, tensor.shape)]
    return shape, [function(*(operand(tensor, place) for tensor in tensors)) for place in windows(shape)]


def transposed(x, order):
    """Shape and elements."""
    shape, own = tuple(x.shape[axis] for axis in order), strides(x.shape)
    return shape, [x.items[dot(place, [own[axis] for axis in order])] for place in windows(shape)]


# ------------------------------------------------------------------------------------------------------- 9.1 and 9.2

EPSILON = f32(0x3727C5AC)


def by_type(single, double):
    return lambda op, x: single(x) if op.kind is F32 else double(x)


def through_f64(formula):
    return lambda op, x, *attributes: op.kind.of(formula(x, *attributes))


def sign(op, x):
    return nan if isnan(x) else 1.0 if x > 0 else -1.0 if x < 0 else 0.0


def whole(rounding):
    return lambda op, x: x if isnan(x) or isinf(x) else copysign(float(rounding(x)), x)


def shrink(op, x, lambd, bias):
    return op.add(x, bias) if x < -lambd else op.sub(x, bias) if x > lambd else 0.0


# name: (function of op, x and the attributes, attributes as given to ONNX, attributes as the function takes them)
UNARY = {
    "Abs": (lambda op, x: abs(x), {}, ()),
    "Neg": (lambda op, x: -x, {}, ()),
    "Sign": (sign, {}, ()),
    "Floor": (whole(floor), {}, ()),
    "Ceil": (whole(ceil), {}, ()),
    "Sqrt": (lambda op, x: op.sqrt(x), {}, ()),
    "Reciprocal": (lambda op, x: op.div(1.0, x), {}, ()),
    "Exp": (by_type(a.exp32, a.exp), {}, ()),
    "Log": (by_type(a.log32, a.log), {}, ()),
    "Erf": (by_type(a.erf32, a.erf), {}, ()),
    "Sigmoid": (by_type(a.sigmoid32, a.sigmoid), {}, ()),
    "Tanh": (by_type(a.tanh32, a.tanh), {}, ()),
    "Relu": (lambda op, x: 0.0 if x <= 0 else x, {}, ()),
    "LeakyRelu": (a.leaky, {}, (f32(0x3C23D70A),)),
    "LeakyRelu 0.3": (a.leaky, {"alpha": 0.3}, (F32.of(0.3),)),
    "Elu": (through_f64(a.elu), {}, (1.0,)),
    "Elu 0.7": (through_f64(a.elu), {"alpha": 0.7}, (F32.of(0.7),)),
    "Selu": (through_f64(a.selu), {}, (f32(0x3FD62D7D), f32(0x3F867D5F))),
    "Gelu": (through_f64(a.gelu), {}, ()),
    "Gelu tanh": (through_f64(a.gelu_tanh), {"approximate": "tanh"}, ()),
    "Celu": (through_f64(a.celu), {}, (1.0,)),
    "Celu -0.6": (through_f64(a.celu), {"alpha": -0.6}, (F32.of(-0.6),)),
    "Mish": (through_f64(a.mish), {}, ()),
    "Softsign": (lambda op, x: op.div(x, op.add(1.0, abs(x))), {}, ()),
    "ThresholdedRelu": (lambda op, x, alpha: x if x > alpha else 0.0, {"alpha": 0.7}, (F32.of(0.7),)),
    "Shrink": (shrink, {"lambd": 1.4, "bias": 0.3}, (F32.of(1.4), F32.of(0.3))),
    "Round": (whole(round), {}, ()),
    "HardSigmoid": (a.hard_sigmoid, {}, (f32(0x3E4CCCCD), 0.5)),
    "HardSwish": (a.hard_swish, {}, ()),
    "Softplus": (through_f64(a.softplus), {}, ()),
}

BINARY = {
    "Add": lambda op, x, y: op.add(x, y),
    "Sub": lambda op, x, y: op.sub(x, y),
    "Mul": lambda op, x, y: op.mul(x, y),
    "Div": lambda op, x, y: op.div(x, y),
    "Min": lambda op, x, y: a.minimum(x, y),
    "Max": lambda op, x, y: a.maximum(x, y),
    "PRelu": a.leaky,
    "Pow": lambda op, x, y: op.kind.of(a.power(x, y)),
}

# of opset 28: (function of op, x and y, attributes)
NEWER_BINARY = {
    "Mod": (lambda op, x, y: op.kind.of(a.modulo(x, y)), {}),
    "Mod truncated": (lambda op, x, y: op.kind.of(a.remainder(x, y)), {"fmod": 1}),
    "SwiGLU": (lambda op, x, y: op.kind.of(a.swish(x, F32.of(1.3)) * y), {"alpha": 1.3}),
}

COMPARISONS = {
    "Equal": lambda x, y: x == y,
    "Greater": lambda x, y: x > y,
    "Less": lambda x, y: x < y,
    "GreaterOrEqual": lambda x, y: x >= y,
    "LessOrEqual": lambda x, y: x <= y,
}

INTEGER_BINARY = {
    "Add": lambda t, x, y: t.add(x, y),
    "Sub": lambda t, x, y: t.sub(x, y),
    "Mul": lambda t, x, y: t.mul(x, y),
    "Div": lambda t, x, y: t.div(x, y),
    "Min": lambda t, x, y: min(x, y),
    "Max": lambda t, x, y: max(x, y),
}

NEWER_INTEGER_BINARY = {
    "Mod": (lambda t, x, y: x % y if y else 0, {}),
    "Mod truncated": (lambda t, x, y: t.wrap(x - t.div(x, y) * y) if y else 0, {"fmod": 1}),
    "BitwiseAnd": (lambda t, x, y: x & y, {}),
    "BitwiseOr": (lambda t, x, y: x | y, {}),
    "BitwiseXor": (lambda t, x, y: x ^ y, {}),
    "BitShift left": (lambda t, x, y: t.wrap(x << y) if 0 <= y < 64 else 0, {"direction": "LEFT"}),
    "BitShift right": (lambda t, x, y: x >> y if 0 <= y < 64 else -(x < 0), {"direction": "RIGHT"}),
}

INTEGER_UNARY = {
    "Abs": lambda t, x: t.wrap(abs(x)),
    "Neg": lambda t, x: t.wrap(-x),
    "Sign": lambda t, x: (x > 0) - (x < 0),
    "Relu": lambda t, x: max(x, 0),
}


# ------------------------------------------------------------------------------------------------------- 9.3


def matmul(op, x, y):
    (m, k), (_, n) = x.shape, y.shape
    row = lambda i: x.items[i * k : (i + 1) * k]
    return [a.chain(op, zip(row(i), y.items[j::n])) for i in range(m) for j in range(n)]


def matmul_of_stacks(op, x, y):
    """Matrices behind leading dimensions that broadcast."""
    leading = broadcast_shape(x.shape[:-2], y.shape[:-2])
    part = lambda t, place: Tensor(t.kind, t.shape[-2:], matrix_at(t, broadcast_index(place, t.shape[:-2])))
    return sum((matmul(op, part(x, place), part(y, place)) for place in windows(leading)), [])


def matrix_at(tensor, number):
    size = tensor.shape[-2] * tensor.shape[-1]
    return tensor.items[number * size : (number + 1) * size]


def gemm(op, x, y, c, alpha, beta):
    """`c` broadcasts to the product, `None` if it is not given."""
    products, shape = matmul(op, x, y), (x.shape[0], y.shape[1])
    if c is None:
        return [op.mul(alpha, p) for p in products]
    addend = lambda place: op.mul(beta, c.items[broadcast_index(place, c.shape)])
    return [op.add(op.mul(alpha, p), addend(place)) for p, place in zip(products, windows(shape))]


# ------------------------------------------------------------------------------------------------------- 9.4


def einsum(op, equation, tensors):
    """Shape and elements of an equation without ellipses."""
    left, output = equation.split("->")
    terms = left.split(",")
    sizes = {letter: size for term, x in zip(terms, tensors) for letter, size in zip(term, x.shape)}
    summed = [letter for letter in sizes if letter not in output]
    shape = tuple(sizes[letter] for letter in output)
    result = []
    for outer in windows(shape):
        chain = 0.0
        for inner in windows([sizes[letter] for letter in summed]):
            at = dict(zip([*output, *summed], [*outer, *inner]))
            read = lambda term, x: x.items[dot([at[letter] for letter in term], strides(x.shape))]
            *front, last = [read(term, x) for term, x in zip(terms, tensors)]
            chain = op.fma(fold(op.mul, front), last, chain) if front else op.add(chain, last)
        result.append(chain)
    return shape, result


def conv(op, x, w, bias, out, *, group, steps, dilations, pads):
    space, kernel, per_group = x.shape[2:], w.shape[2:], w.shape[1]
    outputs = w.shape[0] // group
    places, weights = strides(x.shape), strides(w.shape)
    axes = range(len(space))
    result = []
    for n, m, *window in windows(out):
        chain = 0.0
        for ci, *tap in windows((per_group, *kernel)):
            at = [window[i] * steps[i] + tap[i] * dilations[i] - pads[i] for i in axes]
            value = 0.0
            if all(0 <= at[i] < space[i] for i in axes):
                place = (n, m // outputs * per_group + ci, *at)
                value = x.items[dot(place, places)]
            chain = op.fma(w.items[dot((m, ci, *tap), weights)], value, chain)
        result.append(op.add(chain, bias.items[m]))
    return [result]


def conv_transpose(op, x, w, bias, out, *, group, steps, dilations, pads):
    space, kernel, outputs = x.shape[2:], w.shape[2:], w.shape[1]
    per_group = x.shape[1] // group
    places, weights = strides(x.shape), strides(w.shape)
    axes = range(len(space))
    result = []
    for n, m, *position in windows(out):
        chain = 0.0
        for ci, *tap in windows((per_group, *kernel)):
            offset = [position[i] + pads[i] - tap[i] * dilations[i] for i in axes]
            if any(offset[i] % steps[i] for i in axes):
                continue
            at = [offset[i] // steps[i] for i in axes]
            channel = m // outputs * per_group + ci
            value = 0.0
            if all(0 <= at[i] < space[i] for i in axes):
                value = x.items[dot((n, channel, *at), places)]
            weight = w.items[dot((channel, m % outputs, *tap), weights)]
            chain = op.fma(weight, value, chain)
        result.append(op.add(chain, bias.items[m]))
    return [result]


# ------------------------------------------------------------------------------------------------------- 9.5


def lines(shape, axes):
    """For each output element of a reduction the places of its terms, row-major."""
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    steps = strides(shape)
    for outer in windows([shape[axis] for axis in kept]):
        base = dot(outer, [steps[axis] for axis in kept])
        inner = windows([shape[axis] for axis in sorted(axes)])
        yield [base + dot(place, [steps[axis] for axis in sorted(axes)]) for place in inner]


REDUCTIONS = {
    "ReduceSum": a.total,
    "ReduceMean": lambda op, x: op.div(a.total(op, x), float(len(x))),
    "ReduceProd": a.product,
    "ReduceMax": lambda op, x: fold(a.maximum, x, -inf),
    "ReduceMin": lambda op, x: fold(a.minimum, x, inf),
}

def square_sum(op, x):
    return a.total_of_squares(op, x)


def log_sum_exp(op, x):
    exp, log = (a.exp32, a.log32) if op.kind is F32 else (a.exp, a.log)
    top = fold(a.maximum, x, -inf)
    shift = 0.0 if isnan(top) or isinf(top) else top
    return op.add(log(a.total(op, [exp(op.sub(value, shift)) for value in x])), shift)


REDUCTIONS |= {
    "ReduceL1": lambda op, x: a.total(op, [abs(value) for value in x]),
    "ReduceL2": lambda op, x: op.sqrt(square_sum(op, x)),
    "ReduceSumSquare": square_sum,
    "ReduceLogSum": lambda op, x: (a.log32 if op.kind is F32 else a.log)(a.total(op, x)),
    "ReduceLogSumExp": log_sum_exp,
}


def rational_root(t, square):
    return t.of_float(sqrt(F64.nearest(a.Fraction(square))) if square >= 0 else nan)


INTEGER_REDUCTIONS = {
    "ReduceSum": lambda t, x: t.wrap(sum(x)),
    "ReduceMean": lambda t, x: t.div(t.wrap(sum(x)), len(x)),
    "ReduceProd": lambda t, x: fold(t.mul, x, 1),
    "ReduceL1": lambda t, x: t.wrap(sum(abs(value) for value in x)),
    "ReduceL2": lambda t, x: rational_root(t, t.wrap(sum(value * value for value in x))),
    "ReduceSumSquare": lambda t, x: t.wrap(sum(value * value for value in x)),
    "ReduceMax": lambda t, x: max(x),
    "ReduceMin": lambda t, x: min(x),
}


def accumulated(take, start, x, *, exclusive, backwards):
    """CumSum or CumProd of one line."""
    y, so_far = [], start
    for value in reversed(x) if backwards else x:
        following = take(so_far, value)
        y.append(so_far if exclusive else following)
        so_far = following
    return y[::-1] if backwards else y


def arg_extreme(x, extreme, last):
    nans = [i for i, value in enumerate(x) if isnan(value)]
    if not nans:
        best = extreme(x)
        nans = [i for i, value in enumerate(x) if value == best]
    return nans[-1 if last else 0]


# ------------------------------------------------------------------------------------------------------- 9.6


def pools(op, x, out, kernel, steps, pads):
    """Values and indices of MaxPool, and AveragePool without and with padding counted."""
    space = x.shape[2:]
    axes, own = range(len(space)), strides(x.shape)
    values, indices, means, padded_means = [], [], [], []
    for n, c, *window in windows(out):
        plane = n * own[0] + c * own[1]
        value, best, first, total, counted, padded = -inf, None, plane, 0.0, 0, 0
        for tap in windows(kernel):
            at = [window[i] * steps[i] + tap[i] - pads[i] for i in axes]
            padded += all(at[i] < space[i] + pads[len(space) + i] for i in axes)
            if not all(0 <= at[i] < space[i] for i in axes):
                continue
            place = plane + dot(at, own[2:])
            element = x.items[place]
            value, total, counted = a.maximum(value, element), op.add(total, element), counted + 1
            if best is None or (not isnan(best) and (isnan(element) or element > best)):
                best, first = element, place
        values.append(value)
        indices.append(first)
        means.append(op.div(total, float(counted)))
        padded_means.append(op.div(total, float(padded)))
    return values, indices, means, padded_means


# ------------------------------------------------------------------------------------------------------- 9.7


def softmaxes(op, x, axis):
    """Softmax and LogSoftmax."""
    exp, log = (a.exp32, a.log32) if op.kind is F32 else (a.exp, a.log)
    softmax, logarithm = [0.0] * len(x.items), [0.0] * len(x.items)
    for line in lines(x.shape, [axis]):
        top = fold(a.maximum, (x.items[place] for place in line), -inf)
        differences = [op.sub(x.items[place], top) for place in line]
        exponentials = [exp(d) for d in differences]
        z = a.total(op, exponentials)
        for place, d, e in zip(line, differences, exponentials):
            softmax[place] = op.div(e, z)
            logarithm[place] = op.sub(d, log(z))
    return softmax, logarithm


# ------------------------------------------------------------------------------------------------------- 9.8


def mean_and_variance(op, x):
    n = float(len(x))
    mean = op.div(a.total(op, x), n)
    return mean, op.div(a.total_of_squares(op, [op.sub(value, mean) for value in x]), n)


def moments(op, x):
    mean, variance = mean_and_variance(op, x)
    return mean, op.div(1.0, op.sqrt(op.add(variance, EPSILON)))


def layer_normalization(op, x, scale, bias=None):
    n = len(scale.items)
    y, means, deviations = [], [], []
    for start in range(0, len(x.items), n):
        row = x.items[start : start + n]
        mean, inverse = moments(op, row)
        means.append(mean)
        deviations.append(inverse)
        for i, value in enumerate(row):
            q = op.mul(op.sub(value, mean), inverse)
            y.append(op.fma(q, scale.items[i], bias.items[i]) if bias else op.mul(q, scale.items[i]))
    return y, means, deviations


def lp_normalization(op, x, p):
    """Of one line."""
    norm = a.total(op, [abs(value) for value in x]) if p == 1 else op.sqrt(a.total_of_squares(op, x))
    return [0.0 if norm == 0 else op.div(value, norm) for value in x]


def mean_variance_normalization(op, x):
    """Of one group."""
    mean, variance = mean_and_variance(op, x)
    deviation = op.add(op.sqrt(variance), op.kind.of(1e-9))
    return [op.div(op.sub(value, mean), deviation) for value in x]


def lrn(op, x, *, size, alpha, beta, bias):
    """Of one place's channels."""
    y = []
    for c, value in enumerate(x):
        total = 0.0
        for other in x[max(0, c - (size - 1) // 2) : c + size // 2 + 1]:
            total = op.fma(other, other, total)
        base = op.add(bias, op.mul(op.div(alpha, float(size)), total))
        y.append(op.div(value, op.kind.of(a.power(base, beta))))
    return y


def losses(op, x, classes, weights, ignored):
    """Of samples: each with its scores and class."""
    lost, weighing = [], []
    for scores, t in zip(x, classes):
        if t == ignored:
            lost.append(0.0)
            weighing.append(0.0)
            continue
        loss = -scores[t]
        lost.append(op.mul(loss, weights[t]) if weights else loss)
        weighing.append(weights[t] if weights else 1.0)
    total = a.total(op, lost)
    divisor = a.total(op, weighing) if weights else float(sum(t != ignored for t in classes))
    return {"none": lost, "sum": [total], "mean": [op.div(total, divisor)]}


def lp_pool(op, x, out, kernel, steps, pads, p):
    space = x.shape[2:]
    axes, own = range(len(space)), strides(x.shape)
    y = []
    for n, c, *window in windows(out):
        total = 0.0
        for tap in windows(kernel):
            at = [window[i] * steps[i] + tap[i] - pads[i] for i in axes]
            if not all(0 <= at[i] < space[i] for i in axes):
                continue
            element = x.items[dot((n, c, *at), own)]
            match p:
                case 1:
                    total = op.add(total, abs(element))
                case 2:
                    total = op.fma(element, element, total)
                case _:
                    total = op.add(total, op.kind.of(a.power(abs(element), float(p))))
        y.append(total if p == 1 else op.sqrt(total) if p == 2 else op.kind.of(a.power(total, 1.0 / p)))
    return y


def instance_normalization(op, x, scale, bias):
    channels, size = x.shape[1], x.shape[2]
    y = []
    for number in range(len(x.items) // size):
        plane, c = x.items[number * size :][:size], number % channels
        mean, inverse = moments(op, plane)
        y += [op.fma(op.mul(op.sub(v, mean), inverse), scale.items[c], bias.items[c]) for v in plane]
    return [y]


def batch_normalization(op, x, scale, bias, mean, variance, momentum=None):
    """With a momentum: training mode, with the running mean and variance."""
    (batch, channels, size), running = x.shape, []
    of_mean, of_variance = mean.items, variance.items
    if momentum is not None:
        own = []
        for c in range(channels):
            planes = [x.items[(n * channels + c) * size :][:size] for n in range(batch)]
            own.append(mean_and_variance(op, sum(planes, [])))
        rest = op.sub(1.0, momentum)
        blend = lambda old, new: [op.add(op.mul(o, momentum), op.mul(n, rest)) for o, n in zip(old, new)]
        new_mean, new_variance = (list(column) for column in zip(*own))
        running = [blend(of_mean, new_mean), blend(of_variance, new_variance)]
        of_mean, of_variance = new_mean, new_variance
    y = []
    for number in range(batch * channels):
        c = number % channels
        factor = op.div(scale.items[c], op.sqrt(op.add(of_variance[c], EPSILON)))
        plane = x.items[number * size :][:size]
        y += [op.fma(op.sub(v, of_mean[c]), factor, bias.items[c]) for v in plane]
    return [y, *running]


# ------------------------------------------------------------------------------------------------------- 9.9


def moved(x, shape, source):
    """Elements of an output of `shape` whose element at a place is that of `x` at `source(place)`; `None` there is a zero."""
    own = strides(x.shape)
    zero = 0 if x.kind[0] in "iu" else False if x.kind == "bool" else 0.0
    read = lambda at: zero if at is None else x.items[dot(at, own)]
    return Tensor(x.kind, tuple(shape), [read(source(place)) for place in windows(shape)])


def scattered(x, updates, take):
    """A copy of `x` with pairs of place and value taken into it."""
    items, own = list(x.items), strides(x.shape)
    for place, value in updates:
        items[dot(place, own)] = take(items[dot(place, own)], value)
    return Tensor(x.kind, x.shape, items)


def top(line, largest):
    """Indices of a line in TopK's order."""
    rank = lambda i: (isnan(line[i]), 0 if isnan(line[i]) else line[i])
    return sorted(range(len(line)), key=rank, reverse=bool(largest))


def padding(mode, size):
    """Where a position along a padded axis comes from."""

    def source(at):
        if 0 <= at < size:
            return at
        if mode == "constant":
            return None
        if mode == "edge":
            return 0 if at < 0 else size - 1
        if mode == "wrap":
            return at % size
        period = max(1, 2 * (size - 1))
        return min(at % period, period - at % period)

    return source
