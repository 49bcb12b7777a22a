"""Sections 1 to 7 of docs/spec/arithmetic.md: numbers, operations, sums, functions, conversions.

An element is a Python float (every f32, f16 and bf16 number is one) or int. Whatever the text calls exact is a Fraction here,
and `Format.nearest` is the one place where a Fraction is rounded. Python's own float arithmetic is used for f64 only, where it
is IEEE 754's.
"""

import re
import struct
from decimal import Decimal, getcontext
from fractions import Fraction
from math import copysign, inf, isinf, isnan, isqrt, nan
from pathlib import Path

# enough for the hardest case of a function of one f32, many times over
getcontext().prec = 80

SPECIFICATION = Path(__file__).resolve().parents[2] / "docs/spec/arithmetic.md"


def f64(bits):
    """The f64 with these bits."""
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def f32(bits):
    """The f32 with these bits."""
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def bits_of(x):
    """The bits of an f64."""
    return struct.unpack("<Q", struct.pack("<d", x))[0]


def is_negative(x):
    """Whether the sign bit is set."""
    return copysign(1.0, x) < 0


# ------------------------------------------------------------------------------------------------------- 1: values


class Format:
    """A float type: how many bits a number has, the hidden one included, and the exponent of the last bit of subnormals."""

    def __init__(self, name, precision, least):
        self.name = name
        self.precision = precision
        self.least = least
        # what would follow the largest number
        self.limit = Fraction(2) ** (3 - least - precision)

    def nearest(self, exact, sign=1.0):
        """The number nearest to a Fraction, ties to even; `sign` is that of an exact zero."""
        if exact == 0:
            return copysign(0.0, sign)
        magnitude = abs(exact)
        exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
        if Fraction(2) ** exponent > magnitude:
            exponent -= 1
        place = Fraction(2) ** max(exponent - self.precision + 1, self.least)
        whole, rest = divmod(magnitude, place)
        if 2 * rest > place or (2 * rest == place and whole % 2 == 1):
            whole += 1
        rounded = inf if whole * place >= self.limit else float(whole * place)
        return -rounded if exact < 0 else rounded

    def of(self, x):
        """A number of another float type, rounded to this one."""
        return x if isnan(x) or isinf(x) else self.nearest(Fraction(x), x)


F32 = Format("f32", 24, -149)
F64 = Format("f64", 53, -1074)
F16 = Format("f16", 11, -24)
BF16 = Format("bf16", 8, -133)
FLOATS = {kind.name: kind for kind in (F32, F64, F16, BF16)}


# ------------------------------------------------------------------------------------------------------- 3: operations


class Operations:
    """The basic operations of a computing type, f32 or f64."""

    def __init__(self, kind):
        self.kind = kind

    def add(self, a, b):
        return self.fma(a, 1.0, b)

    def sub(self, a, b):
        return self.fma(a, 1.0, -b)

    def mul(self, a, b):
        if isnan(a) or isnan(b) or isinf(a) or isinf(b):
            return a * b
        return self.kind.nearest(Fraction(a) * Fraction(b), copysign(1.0, a) * copysign(1.0, b))

    def fma(self, a, b, c):
        if isnan(a) or isnan(b) or isnan(c) or isinf(a) or isinf(b):
            return a * b + c
        if isinf(c):
            return c
        product = Fraction(a) * Fraction(b)
        sign = copysign(1.0, a) * copysign(1.0, b)
        # a sum that is zero: −0 only of two negative zeros
        both_negative = product == 0 and c == 0 and sign < 0 and is_negative(c)
        return self.kind.nearest(product + Fraction(c), -1.0 if both_negative else 1.0)

    def div(self, a, b):
        sign = copysign(1.0, a) * copysign(1.0, b)
        if isnan(a) or isnan(b) or (isinf(a) and isinf(b)) or (a == 0 and b == 0):
            return nan
        if isinf(a) or b == 0:
            return copysign(inf, sign)
        if isinf(b):
            return copysign(0.0, sign)
        return self.kind.nearest(Fraction(a) / Fraction(b), sign)

    def sqrt(self, a):
        if isnan(a) or a < 0:
            return nan
        if a == 0 or isinf(a):
            return a
        # a whole root with far more bits than any type has; a remainder counts as a last bit
        scale = 4**1200
        numerator, denominator = Fraction(a).as_integer_ratio()
        square, rest = divmod(numerator * scale, denominator)
        root = isqrt(square)
        inexact = rest != 0 or root * root != square
        return self.kind.nearest(Fraction(2 * root + inexact, 2 ** 1201))


def maximum(a, b):
    if a > b:
        return a
    if b > a:
        return b
    if a != b:
        return nan
    return -0.0 if a == 0 and is_negative(a) and is_negative(b) else a + 0.0


def minimum(a, b):
    if a < b:
        return a
    if b < a:
        return b
    if a != b:
        return nan
    return -0.0 if a == 0 and (is_negative(a) or is_negative(b)) else a


# ------------------------------------------------------------------------------------------------------- 4: sums


def chain(op, pairs):
    total = 0.0
    for a, b in pairs:
        total = op.fma(a, b, total)
    return total


def lanes(terms, start, take, combine):
    lane = [start] * 16
    for i, term in enumerate(terms):
        lane[i % 16] = take(lane[i % 16], term)
    for half in (8, 4, 2, 1):
        for l in range(half):
            lane[l] = combine(lane[l], lane[l + half])
    return lane[0]


def total(op, terms):
    return lanes(terms, 0.0, op.add, op.add)


def total_of_squares(op, terms):
    return lanes(terms, 0.0, lambda s, d: op.fma(d, d, s), op.add)


def product(op, terms):
    return lanes(terms, 1.0, op.mul, op.mul)


# ------------------------------------------------------------------------------------------------------- 5.1: in f32


def to_f32(value):
    return F32.nearest(Fraction(value))


def exp32(x):
    if isnan(x):
        return nan
    if abs(x) > 200:
        return inf if x > 0 else 0.0
    return to_f32(Decimal(x).exp())


def log32(x):
    if isnan(x) or x < 0:
        return nan
    if x == 0 or isinf(x):
        return -inf if x == 0 else inf
    return to_f32(Decimal(x).ln())


def sigmoid32(x):
    if isnan(x):
        return nan
    if abs(x) > 200:
        return 1.0 if x > 0 else 0.0
    return to_f32(1 / (1 + (-Decimal(x)).exp()))


def tanh32(x):
    if isnan(x) or x == 0:
        return x
    if abs(x) > 50:
        return copysign(1.0, x)
    d = Decimal(x)
    if abs(x) < 1e-12:
        # the quotient below would lose its digits
        return to_f32(d - d * d * d / 3)
    e = (2 * d).exp()
    return to_f32((e - 1) / (e + 1))


PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534")


def erf32(x):
    if isnan(x) or x == 0:
        return x
    if abs(x) > 6:
        return copysign(1.0, x)
    d = Decimal(x)
    power = series = d
    n = 0
    while abs(power) > abs(series) * Decimal(10) ** -70:
        n += 1
        power = -power * d * d / n
        series += power / (2 * n + 1)
    return to_f32(2 * series / PI.sqrt())


# ------------------------------------------------------------------------------------------------------- 5.2: in f64


def tables():
    """The coefficients E, R, P, Q and W, from the text."""
    lines = SPECIFICATION.read_text(encoding="utf-8").splitlines()
    word = re.compile(r"`([0-9a-f]{16})`")
    found = {}
    for name in "ER":
        (row,) = [line for line in lines if line.startswith(f"| {name}[0")]
        found[name] = word.findall(row)
    start = lines.index("| i | P | Q | W |") + 2
    columns = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        columns.append([cell.strip(" `") for cell in line.split("|")[2:5]])
    for name, column in zip("PQW", zip(*columns)):
        found[name] = [cell for cell in column if cell]
    return {name: [f64(int(digits, 16)) for digits in words] for name, words in found.items()}


TABLES = tables()
LOG2E = f64(0x3FF71547652B82FE)
LN2H, LN2L = f64(0x3FE62E42FEE00000), f64(0x3DEA39EF35793C76)
ROUND = f64(0x4338000000000000)
LEAST_NORMAL = 2.0**-1022


def horner(table, x):
    *rest, s = TABLES[table]
    for coefficient in reversed(rest):
        s = s * x + coefficient
    return s


def power_of_two(k):
    return f64((k + 1023) << 52)


def reduce(x):
    t = x * LOG2E + ROUND
    k = t - ROUND
    return (x - k * LN2H) - k * LN2L, int(k)


def em(r):
    return horner("E", r) * r


def expm1n(x):
    r, k = reduce(x)
    s = power_of_two(k)
    return em(r) * s + (s - 1.0)


def exp(x):
    if isnan(x):
        return nan
    r, k = reduce(max(-746.0, min(710.0, x)))
    h = k // 2
    return (em(r) + 1.0) * power_of_two(h) * power_of_two(k - h)


def expm1(x):
    if isnan(x) or x == 0:
        return x
    return exp(x) if x > 60 else expm1n(max(x, -50.0))


def parts(x):
    one, half_root = bits_of(1.0), 0x3FE6A09E667F3BCD
    b = bits_of(x) + (one - half_root)
    k = float((b >> 52) - 1023)
    f = f64((b & (1 << 52) - 1) + half_root) - 1.0
    s = f / (2.0 + f)
    z = s * s
    q = z * horner("R", z)
    h = 0.5 * f * f
    rest = s * (h + q) + k * LN2L
    base = k * LN2H
    high = base + f
    lost = 0.0 if k == 0 else f - (high - base)
    return high, (rest - h) + lost


def logn(x):
    high, low = parts(x)
    return high + low


def log(x):
    if isnan(x) or x < 0:
        return nan
    if x == 0 or isinf(x):
        return -inf if x == 0 else inf
    if x < LEAST_NORMAL:
        return logn(x * 2.0**54) - f64(0x4042B708872320E2)
    return logn(x)


def log1p(x):
    u = 1.0 + x
    return logn(u) + (x - (u - 1.0)) / u


def tanh(x):
    if isnan(x) or x == 0:
        return x
    e = expm1n(2.0 * max(-22.0, min(22.0, x)))
    return e / (e + 2.0)


def sigmoid(x):
    if isnan(x):
        return nan
    e = exp(-abs(x))
    return e / (1.0 + e) if x < 0 else 1.0 / (1.0 + e)


def erf(x):
    if isnan(x):
        return nan
    a = abs(x)
    if a < 1:
        y = f64(0x3FF20DD750000000) * a + a * horner("P", a * a)
    elif a < 4:
        y = horner("Q", (a - 2.5) * f64(0x3FE5555555555555))
    elif a < 6:
        y = horner("W", a - 5.0)
    else:
        y = 1.0
    return copysign(y, x)


# ------------------------------------------------------------------------------------------------------- 5.3: powers

DOUBLES = Operations(F64)


def squaring(x, n):
    p, s = 1.0, x
    while n > 0:
        if n % 2 == 1:
            p = p * s
        s = s * s
        n //= 2
    return p


def split(x):
    c = x * 134217729.0
    h = c - (c - x)
    return h, x - h


def through_logarithm(x, y):
    y = max(-(2.0**64), min(2.0**64, y))
    if x >= LEAST_NORMAL:
        high, low = parts(x)
    else:
        high, low = parts(x * 2.0**54)
        low = low + (-54.0 * LN2L)
        t = high - 54.0 * LN2H
        low = low + (high - (t + 54.0 * LN2H))
        high = t
    t = high + low
    low = low - (t - high)
    high = t
    p = y * high
    if abs(p) >= 800:
        return inf if p > 0 else 0.0
    (yh, yl), (hh, hl) = split(y), split(high)
    error = ((yh * hh - p) + yh * hl + yl * hh) + yl * hl
    c = error + y * low
    w = exp(p)
    return w if isinf(w) else w + w * c


def power(x, y):
    """P(x, y)."""
    if y == 0 or x == 1:
        return 1.0
    if isnan(x) or isnan(y):
        return nan
    if isinf(y):
        if abs(x) == 1:
            return 1.0
        return inf if (abs(x) > 1) == (y > 0) else 0.0
    integer = y == int(y)
    odd = integer and abs(y) < 2.0**53 and int(y) % 2 == 1
    if x == 0 or isinf(x):
        magnitude = 0.0 if (x == 0) == (y > 0) else inf
        return -magnitude if is_negative(x) and odd else magnitude
    if x < 0 and not integer:
        return nan
    if integer and abs(y) <= 64:
        p = squaring(x, int(abs(y)))
        return DOUBLES.div(1.0, p) if y < 0 else p
    if abs(y) == 0.5:
        root = DOUBLES.sqrt(x)
        return root if y > 0 else 1.0 / root
    g = through_logarithm(abs(x), y)
    return -g if x < 0 and odd else g


# ------------------------------------------------------------------------------------------------------- 5.4: composites


def gelu(x):
    if x == -inf:
        return -0.0
    return (0.5 * x) * (1.0 + erf(x * f64(0x3FE6A09E667F3BCD)))


def gelu_tanh(x):
    if x == -inf:
        return -0.0
    inner = f64(0x3FE9884533D43651) * (x + f64(0x3FA6E4E26D4801F7) * ((x * x) * x))
    return (0.5 * x) * (1.0 + tanh(inner))


def elu(x, alpha):
    return x if x > 0 else alpha * expm1(x)


def selu(x, alpha, gamma):
    return gamma * elu(x, alpha)


def celu(x, alpha):
    return x if x > 0 else alpha * expm1(divide(x, alpha))


def divide(a, b):
    """IEEE 754's quotient of two f64."""
    return Operations(F64).div(a, b)


def swish(x, alpha):
    gate = sigmoid(alpha * x)
    return copysign(0.0, x) if gate == 0 and not isnan(x) else x * gate


def mish(x):
    return -0.0 if x == -inf else x * tanh(softplus(x))


def remainder(a, b):
    if isnan(a) or isnan(b) or isinf(a) or b == 0:
        return nan
    if isinf(b):
        return a
    rest = abs(Fraction(a)) % abs(Fraction(b))
    return copysign(float(rest), a)


def modulo(a, b):
    rest = remainder(a, b)
    if rest == 0:
        return copysign(0.0, b)
    return rest + b if is_negative(rest) != is_negative(b) else rest


def softplus(x):
    if isnan(x):
        return nan
    return (x if x > 0 else 0.0) + log1p(exp(-abs(x)))


def leaky(op, x, slope):
    return op.mul(slope, x) if x < 0 else x


def hard_sigmoid(op, x, alpha, beta):
    return maximum(minimum(op.fma(alpha, x, beta), 1.0), 0.0)


def hard_swish(op, x):
    sixth = f32(0x3E2AAAAB) if op.kind is F32 else f64(0x3FC5555555555555)
    return op.mul(x, maximum(minimum(op.fma(sixth, x, 0.5), 1.0), 0.0))


# ------------------------------------------------------------------------------------------------------- 6 and 7: integers


class Integers:
    """An integer type."""

    def __init__(self, name):
        self.name = name
        bits = int(name[1:])
        self.size = 1 << bits
        self.least = -(self.size // 2) if name[0] == "i" else 0
        self.greatest = self.least + self.size - 1

    def wrap(self, x):
        return (x - self.least) % self.size + self.least

    def add(self, a, b):
        return self.wrap(a + b)

    def sub(self, a, b):
        return self.wrap(a - b)

    def mul(self, a, b):
        return self.wrap(a * b)

    def div(self, a, b):
        if b == 0:
            return 0
        quotient = abs(a) // abs(b)
        return self.wrap(quotient if (a < 0) == (b < 0) else -quotient)

    def power(self, x, e):
        e = min(e, 2**63 - 1)
        if e >= 0:
            return self.wrap(pow(x, e, self.size))
        if x == 1:
            return 1
        return (-1 if e % 2 else 1) if x == -1 else 0

    def of_float(self, x):
        if isnan(x):
            return 0
        if isinf(x):
            return self.greatest if x > 0 else self.least
        return max(self.least, min(self.greatest, int(x)))


INTEGERS = {name: Integers(name) for name in ("i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64")}
