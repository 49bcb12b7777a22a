"""Operators that are small networks of their own (§9.10 and after), one element at a time.

`cases` draws them; as in `operators.py`, results are in the computing type.
"""

import arithmetic as a
from operators import Tensor, by_type, operations

SIGMOID = by_type(a.sigmoid32, a.sigmoid)
TANH = by_type(a.tanh32, a.tanh)


def held(x, clip):
    return x if clip is None else a.minimum(a.maximum(x, -clip), clip)


def recurrent(op, name, tensors, sizes, direction, clip, lengths, option):
    """One direction. `option` is input_forget or linear_before_reset. Outputs of all steps and the last states, by row."""
    steps, batch, inputs, hidden = sizes
    x, w, r, b, h0, c0, p = tensors
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[name]
    rows, last = gates * hidden, (gates - 1) * hidden
    apart = name == "GRU" and option
    bias = [op.add(b[j], b[rows + j]) if not (apart and j >= last) else b[j] for j in range(rows)]
    f, g = lambda v: SIGMOID(op, held(v, clip)), lambda v: TANH(op, held(v, clip))
    y = {}
    states = []
    for row in range(batch):
        h, c = h0[row * hidden :][:hidden], c0[row * hidden :][:hidden]
        order = range(lengths[row]) if direction == "forward" else reversed(range(lengths[row]))
        for t in order:
            here = x[(t * batch + row) * inputs :][:inputs]
            from_x = [op.add(a.chain(op, zip(here, w[j * inputs :][:inputs])), bias[j]) for j in range(rows)]
            with_r = lambda state, j: a.chain(op, zip(state, r[j * hidden :][:hidden]))
            from_h = [with_r(h, j) for j in range(rows)]
            both = [op.add(*pair) for pair in zip(from_x, from_h)]
            gate = lambda k: both[k * hidden :][:hidden]
            if name == "RNN":
                h = [g(v) for v in both]
            elif name == "LSTM":
                peep = lambda k, state: [op.fma(p[k * hidden + j], state[j], gate(k)[j]) for j in range(hidden)]
                i = [f(v) for v in peep(0, c)]
                forget = [op.add(1.0, -v) for v in i] if option else [f(v) for v in peep(2, c)]
                u = [g(v) for v in gate(3)]
                c = [op.fma(forget[j], c[j], op.mul(i[j], u[j])) for j in range(hidden)]
                out = [f(v) for v in peep(1, c)]
                h = [op.mul(out[j], TANH(op, c[j])) for j in range(hidden)]
            else:
                z, s = ([f(v) for v in gate(k)] for k in (0, 1))
                if option:
                    own = [op.add(v, bias) for v, bias in zip(from_h[last:], b[rows + last :])]
                    u = [g(op.fma(s[j], own[j], from_x[last + j])) for j in range(hidden)]
                else:
                    reset = [op.mul(*pair) for pair in zip(s, h)]
                    u = [g(op.add(from_x[last + j], with_r(reset, last + j))) for j in range(hidden)]
                h = [op.fma(z[j], h[j], op.mul(op.add(1.0, -z[j]), u[j])) for j in range(hidden)]
            y[t, row] = h
        states.append((h, c))
    flat = [v for t in range(steps) for row in range(batch) for v in y.get((t, row), [0.0] * hidden)]
    return flat, [v for h, _ in states for v in h], [v for _, c in states for v in c]


def recurrences(kind, numbers, draw):
    op, sizes = operations(kind), (4, 3, 5, 2)
    steps, batch, inputs, hidden = sizes
    for name, gates, attribute in (("LSTM", 4, "input_forget"), ("GRU", 3, "linear_before_reset"), ("RNN", 1, None)):
        for option, direction, clip in ((0, "forward", None), (1, "reverse", 0.75)):
            rows = gates * hidden
            shapes = [(steps, batch, inputs), (1, rows, inputs), (1, rows, hidden), (1, 2 * rows)]
            shapes += [(1, batch, hidden)] * 2 + [(1, 3 * hidden)]
            drawn = [numbers.tensor(kind, shape, draw) for shape in shapes]
            lengths = Tensor("i32", (batch,), [steps, 0, 2])
            items = [tensor.items for tensor in drawn]
            y, h, c = recurrent(op, name, items, sizes, direction, clip, lengths.items, option)
            given = [*drawn[:4], lengths, drawn[4]] + (drawn[5:] if name == "LSTM" else [])
            outputs = [((steps, 1, batch, hidden), y), ((1, batch, hidden), h), ((1, batch, hidden), c)]
            attributes = {"direction": direction} | ({attribute: option} if attribute else {})
            if clip is not None:
                attributes["clip"] = clip
            yield name, given, outputs[: 3 if name == "LSTM" else 2], attributes


def cases(kind, numbers, draw):
    """Title, inputs, pairs of shape and elements of the outputs, attributes."""
    yield from recurrences(kind, numbers, draw)
