"""Operators that are small networks of their own (§9.10 and after), one element at a time.

`cases` draws them; as in `operators.py`, results are in the computing type.
"""

from math import inf

import arithmetic as a
from operators import EPSILON, Tensor, by_type, operations

SIGMOID = by_type(a.sigmoid32, a.sigmoid)
EXP = by_type(a.exp32, a.exp)
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


def softmax(op, line):
    most = line[0]
    for x in line:
        most = a.maximum(most, x)
    if most == -inf:
        return [0.0] * len(line)
    exponentials = [EXP(op, op.add(x, -most)) for x in line]
    total = a.total(op, exponentials)
    return [op.div(e, total) for e in exponentials]


def attentions(kind, numbers, draw):
    op = operations(kind)
    batch, heads, group, queries, new, past, size, values = 2, 2, 2, 3, 4, 2, 5, 3
    keys = new + past
    shapes = [(heads * group, queries, size), (heads, new, size), (heads, new, values)]
    shapes += [(1, queries, keys - 1), (heads, past, size), (heads, past, values)]
    for causal, cap, windows, mode in ((0, 0.0, (-1, -1), 0), (1, 1.5, (-1, -1), 2), (0, 0.0, (1, 0), 3)):
        q, k, v, mask, old_k, old_v = (numbers.tensor(kind, (batch, *shape), draw) for shape in shapes)
        rows = lambda tensor, which, count, width: [
            tensor.items[(which * count + i) * width :][:width] for i in range(count)
        ]
        scale = op.div(1.0, op.sqrt(float(size)))
        outputs = [[], [], [], []]
        for b in range(batch):
            for h in range(heads * group):
                at = b * heads + h // group
                all_k = rows(old_k, at, past, size) + rows(k, at, new, size)
                all_v = rows(old_v, at, past, values) + rows(v, at, new, values)
                if h % group == 0:
                    outputs[1] += sum(all_k, [])
                    outputs[2] += sum(all_v, [])
                for i, query in enumerate(rows(q, b * heads * group + h, queries, size)):
                    scores = [op.mul(a.chain(op, zip(query, key)), scale) for key in all_k]
                    capped = [op.mul(TANH(op, op.div(s, cap)), cap) if cap else s for s in scores]
                    position, biased = i + past, []
                    for j, c in enumerate(capped):
                        shut = j >= keys - 1 or (causal and j > position)
                        shut |= windows[0] >= 0 and j < position - windows[0]
                        shut |= windows[1] >= 0 and j > position + windows[1]
                        bias = 0.0 if shut else mask.items[(b * queries + i) * (keys - 1) + j]
                        biased.append(-inf if shut or bias == -inf else op.add(c, bias))
                    probabilities = softmax(op, biased)
                    outputs[3] += (scores, capped, biased, probabilities)[mode]
                    outputs[0] += [a.chain(op, zip(probabilities, (v[m] for v in all_v))) for m in range(values)]
        out_shapes = [(heads * group, queries, values), (heads, keys, size), (heads, keys, values)]
        out_shapes.append((heads * group, queries, keys))
        pairs = [((batch, *shape), items) for shape, items in zip(out_shapes, outputs)]
        attributes = {"is_causal": causal, "softcap": cap, "qk_matmul_output_mode": mode}
        attributes |= {"left_window_size": windows[0], "right_window_size": windows[1]}
        yield "Attention", [q, k, v, mask, old_k, old_v], pairs, attributes


def rotations(kind, numbers, draw):
    op, (batch, heads, rows, size, half) = operations(kind), (2, 2, 3, 7, 3)
    x = numbers.tensor(kind, (batch, heads, rows, size), draw)
    caches = [numbers.tensor(kind, (batch, rows, half), draw) for _ in range(2)]
    for interleaved in (0, 1):
        y = list(x.items)
        for b in range(batch):
            for h in range(heads):
                for r in range(rows):
                    start = ((b * heads + h) * rows + r) * size
                    for i in range(half):
                        one, two = (2 * i, 2 * i + 1) if interleaved else (i, half + i)
                        one, two = start + one, start + two
                        c, s = (cache.items[(b * rows + r) * half + i] for cache in caches)
                        y[one] = op.fma(c, x.items[one], -op.mul(s, x.items[two]))
                        y[two] = op.fma(c, x.items[two], op.mul(s, x.items[one]))
        attributes = {"interleaved": interleaved, "rotary_embedding_dim": 2 * half}
        yield "RotaryEmbedding", [x, *caches], [(x.shape, y)], attributes


def linear_attentions(kind, numbers, draw):
    op, (batch, steps, heads, group, size, values) = operations(kind), (2, 3, 2, 2, 3, 4)
    shapes = [(steps, heads * group * size), (steps, heads * size), (steps, heads * values)]
    shapes += [(heads, size, values), (steps, heads * size), (steps, heads)]
    drawn = [numbers.tensor(kind, (batch, *shape), draw) for shape in shapes]
    q, k, v, past, decay, beta = (tensor.items for tensor in drawn)
    scale = op.div(1.0, op.sqrt(float(size)))
    y, present = [0.0] * (batch * steps * heads * group * values), []
    for b in range(batch):
        for h in range(heads):
            state = past[(b * heads + h) * size * values :][: size * values]
            for t in range(steps):
                at = (b * steps + t) * heads + h
                factors = [EXP(op, x) for x in decay[at * size :][:size]]
                state = [op.mul(x, factors[i // values]) for i, x in enumerate(state)]
                key = k[at * size :][:size]
                column = lambda m: state[m::values]
                new = []
                for m in range(values):
                    retrieved = a.chain(op, zip(column(m), key))
                    new.append(op.mul(beta[at], op.add(v[at * values + m], -retrieved)))
                state = [op.fma(key[i // values], new[i % values], x) for i, x in enumerate(state)]
                for g in range(group):
                    query = at * group + g
                    for m in range(values):
                        read = a.chain(op, zip(q[query * size :][:size], column(m)))
                        y[query * values + m] = op.mul(scale, read)
            present += state
    outputs = [((batch, steps, heads * group * values), y), ((batch, heads, size, values), present)]
    yield "LinearAttention", drawn, outputs, {"q_num_heads": heads * group, "kv_num_heads": heads}


def causal_convolutions(kind, numbers, draw):
    op, (batch, channels, length, taps) = operations(kind), (2, 3, 5, 4)
    shapes = [(batch, channels, length), (channels, 1, taps), (channels,), (batch, channels, taps - 1)]
    drawn = [numbers.tensor(kind, shape, draw) for shape in shapes]
    x, w, bias, past = (tensor.items for tensor in drawn)
    for activation in ("none", "silu"):
        y, present = [], []
        for row in range(batch * channels):
            c = row % channels
            whole = past[row * (taps - 1) :][: taps - 1] + x[row * length :][:length]
            present += whole[length:]
            for t in range(length):
                out = op.add(a.chain(op, zip(w[c * taps :][:taps], whole[t:])), bias[c])
                y.append(out if activation == "none" else op.mul(out, SIGMOID(op, out)))
        outputs = [((batch, channels, length), y), ((batch, channels, taps - 1), present)]
        yield "CausalConvWithState", drawn, outputs, {"activation": activation}


def normalizations(kind, numbers, draw):
    op, (batch, channels, space, groups) = operations(kind), (2, 6, 7, 3)
    x, scale, bias = (numbers.tensor(kind, shape, draw) for shape in ((batch, channels, space), (channels,), (channels,)))
    whole, y = channels // groups * space, []
    for start in range(0, len(x.items), whole):
        terms, n = x.items[start : start + whole], float(whole)
        mean = op.div(a.total(op, terms), n)
        differences = [op.add(term, -mean) for term in terms]
        variance = op.div(a.total_of_squares(op, differences), n)
        inverse = op.div(1.0, op.sqrt(op.add(variance, EPSILON)))
        for i, d in enumerate(differences):
            c = (start + i) // space % channels
            y.append(op.fma(op.mul(d, inverse), scale.items[c], bias.items[c]))
    yield "GroupNormalization", [x, scale, bias], [(x.shape, y)], {"num_groups": groups}

    x, scale = numbers.tensor(kind, (4, 37), draw), numbers.tensor(kind, (37,), draw)
    y = []
    for start in range(0, len(x.items), 37):
        row = x.items[start : start + 37]
        square = op.add(op.div(a.total_of_squares(op, row), 37.0), EPSILON)
        inverse = op.div(1.0, op.sqrt(square))
        y += [op.mul(op.mul(value, inverse), s) for value, s in zip(row, scale.items)]
    yield "RMSNormalization", [x, scale], [(x.shape, y)], {}


def cases(kind, numbers, draw):
    """Title, inputs, pairs of shape and elements of the outputs, attributes."""
    families = (recurrences, attentions, rotations, linear_attentions, causal_convolutions, normalizations)
    for family in families:
        yield from family(kind, numbers, draw)
