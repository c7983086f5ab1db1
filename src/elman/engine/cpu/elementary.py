"""Elementary functions of a vector: exp, log, tanh and their kin, with no branch and no call.

Each reduces its argument to a short interval and evaluates a polynomial there. The polynomials are near-minimax: the
comment above each gives the call of ``mpmath.chebyfit`` that makes it (highest power first, 60 digits). NaN gives NaN,
infinities and overflow give what PyTorch gives. The errors held by the tests are in ``tests/engine/cpu``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import llvmlite.ir as ir
import torch

from .simd import I32, MANTISSA_BITS, Simd, Value


class _Constants(NamedTuple):
    """What differs between float32 and float64."""

    exponent_bias: int
    ln2: tuple[float, float]
    """ln 2 = head + tail; the head has so few bits that its product with an exponent is exact."""
    exp_range: tuple[float, float]
    """Beyond it e^x rounds to 0 and to infinity."""
    sqrt_half: int
    """The bits of sqrt(1/2)."""
    smallest: float
    """The smallest number that is not denormal."""
    erf_is_one: float
    """From here on erf x rounds to 1."""
    exp: tuple[float, ...]
    log: tuple[float, ...]
    sin: tuple[float, ...]
    cos: tuple[float, ...]
    erf: tuple[float, ...]
    erfc: tuple[float, ...]


_CONSTANTS = {
    torch.float32: _Constants(
        exponent_bias=127,
        ln2=(0.693359375, -2.12194440e-4),
        exp_range=(-104.0, 89.0),
        sqrt_half=0x3F3504F3,
        smallest=2.0**-126,
        erf_is_one=4.0,
        # chebyfit(lambda r: (exp(r) - 1 - r) / r**2, [-ln2 / 2, ln2 / 2], 5)
        exp=(0.0013926183587713494, 0.008363179052722578, 0.041666554617204574, 0.16666576989698775, 0.5),
        # chebyfit(lambda z: (2 * atanh(sqrt(z)) / sqrt(z) - 2) / z, [0, (3 - sqrt(8))**2], 4)
        log=(0.23331614471843498, 0.28550778633191964, 0.4000012221181065, 0.6666666655404201),
        # chebyfit(lambda z: (sin(sqrt(z)) / sqrt(z) - 1) / z, [0, (pi / 4)**2], 3)
        sin=(-0.00019587865702101875, 0.008332748154085032, -0.16666664661714697),
        # chebyfit(lambda z: (cos(sqrt(z)) - 1 + z / 2) / z**2, [0, (pi / 4)**2], 3)
        cos=(2.4547916853691016e-05, -0.0013888302919113633, 0.041666664658901405),
        # chebyfit(lambda z: erf(sqrt(z)) / sqrt(z), [0, 1], 7)
        erf=(
            *(7.875875062685488e-05, -0.000801686428716587, 0.005189087423433974, -0.026854212010626412),
            *(0.11283594715160218, -0.37612626666720334, 1.1283791658483509),
        ),
        # chebyfit(lambda t: erfc(1 / t - 2) * exp((1 / t - 2)**2), [1 / 6, 1 / 3], 6)
        erfc=(
            *(-7.001463590490393, 9.671553187487666, -0.24143349663085642),
            *(1.5148457641647861, 0.5288647132179404, 0.0013318622994971264),
        ),
    ),
    torch.float64: _Constants(
        exponent_bias=1023,
        ln2=(6.93147180369123816490e-01, 1.90821492927058770002e-10),
        exp_range=(-745.2, 710.0),
        sqrt_half=0x3FE6A09E667F3BCD,
        smallest=2.0**-1022,
        erf_is_one=6.0,
        # The same functions as above with 10, 8, 7, 7, 12 terms; erfc on [1 / 8, 1 / 3] with 15.
        exp=(
            *(2.510038549551032e-08, 2.7620088445409746e-07, 2.7557268459997064e-06, 2.4801521295954376e-05),
            *(0.00019841269863053618, 0.0013888888917213717, 0.008333333333330062, 0.04166666666662413),
            *(0.16666666666666669, 0.5000000000000001),
        ),
        log=(
            *(0.13088034850927555, 0.13268638369266825, 0.15386244737621665, 0.18181795547521137),
            *(0.22222222392581045, 0.28571428570799784, 0.40000000000000885, 0.6666666666666666),
        ),
        sin=(
            *(-7.586691094197958e-13, 1.6058531516797758e-10, -2.5052106231802837e-08, 2.7557319219337312e-06),
            *(-0.00019841269841265063, 0.008333333333333331, -0.16666666666666666),
        ),
        cos=(
            *(4.7458685530816656e-14, -1.1470460830795304e-11, 2.0876755790721963e-09, -2.755731922140179e-07),
            *(2.4801587301584645e-05, -0.0013888888888888887, 0.041666666666666664),
        ),
        erf=(
            *(-7.795898827002142e-10, 1.3720064546777686e-08, -1.6208483801871705e-07, 1.6447424703317362e-06),
            *(-1.492473690741966e-05, 0.00012055294904839707, -0.0008548325975389692, 0.0052239776071164225),
            *(-0.02686617064323777, 0.11283791670945006, -0.37612638903183543, 1.1283791670955126),
        ),
        erfc=(
            *(1051.4775993545124, -3802.3193399400056, 6141.244973872164, -5751.745781926398, 3393.7192897611894),
            *(-1304.8727117633393, 356.0254348102813, -86.0235241240357, 12.469269695695969, 1.112927254027886),
            *(2.965062607613792, 1.9650380653313524, 1.1288205669506493, 0.5641771458640458, 1.6242284740077591e-07),
        ),
    ),
}

# pi / 2 as a sum of three numbers of 33, 33 and 53 bits (fdlibm, e_rem_pio2.c): products with n < 2**20 are exact.
_HALF_PI = (1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624879595063154e-21)
_MOST_QUADRANTS = 2.0**20


def polynomial(simd: Simd, x: Value, coefficients: tuple[float, ...]) -> Value:
    """Horner's rule; ``coefficients`` from the highest power down."""
    result = simd.const(coefficients[0])
    for coefficient in coefficients[1:]:
        result = simd.fma(result, x, simd.const(coefficient))
    return result


def clamp(simd: Simd, x: Value, low: float, high: float) -> Value:
    """x held between two numbers; NaN stays NaN."""
    return simd.max(simd.const(low), simd.min(simd.const(high), x))


def _nearest_integer(simd: Simd, x: Value, scale: float, offset: int) -> tuple[Value, Value]:
    """n, the integer nearest to ``scale * x``, and a vector the low bits of which are the integer n + offset.

    Adding 1.5 * 2**mantissa leaves no room for a fraction: the sum is rounded to an integer and ends in its bits.
    """
    shift = 1.5 * 2.0 ** MANTISSA_BITS[simd.dtype] + offset
    shifted = simd.fma(x, simd.const(scale), simd.const(shift))
    return simd.sub(shifted, simd.const(shift)), simd.bits(shifted)


def _power_of_two(simd: Simd, biased: Value) -> Value:
    """2**(k - bias) for the integer k in the low bits of ``biased``."""
    return simd.from_bits(simd.builder.shl(biased, simd.const_integers(MANTISSA_BITS[simd.dtype])))


def _reduced(simd: Simd, x: Value, offset: int = 0) -> tuple[Value, Value]:
    """e^x = 2^n e^r with |r| <= ln 2 / 2: r, and the integers n + offset + the bias of the exponent in low bits."""
    own = _CONSTANTS[simd.dtype]
    n, bits = _nearest_integer(simd, x, 1 / math.log(2), own.exponent_bias + offset)
    head, tail = own.ln2
    r = simd.fma(n, simd.const(-tail), simd.fma(n, simd.const(-head), x))
    return r, bits


def _exp_minus_one(simd: Simd, r: Value) -> Value:
    """e^r - 1 for |r| <= ln 2 / 2."""
    return simd.fma(simd.mul(r, r), polynomial(simd, r, _CONSTANTS[simd.dtype].exp), r)


def _exp_within(simd: Simd, x: Value) -> Value:
    """e^x where neither it nor its power of two is denormal or infinite."""
    r, bits = _reduced(simd, x)
    scale = _power_of_two(simd, bits)
    return simd.fma(scale, _exp_minus_one(simd, r), scale)


def exp(simd: Simd, x: Value) -> Value:
    """e^x."""
    r, bits = _reduced(simd, clamp(simd, x, *_CONSTANTS[simd.dtype].exp_range))
    return _scaled(simd, simd.add(simd.const(1), _exp_minus_one(simd, r)), bits)


def exp2(simd: Simd, x: Value) -> Value:
    """2^x."""
    own = _CONSTANTS[simd.dtype]
    x = clamp(simd, x, *(bound / math.log(2) for bound in own.exp_range))
    n, bits = _nearest_integer(simd, x, 1.0, own.exponent_bias)
    r = simd.mul(simd.sub(x, n), simd.const(math.log(2)))
    return _scaled(simd, simd.add(simd.const(1), _exp_minus_one(simd, r)), bits)


def _scaled(simd: Simd, x: Value, bits: Value) -> Value:
    """x 2^n for n + bias in the low bits of ``bits``, in two steps, as 2^n itself may be no number that there is."""
    build = simd.builder
    own = _CONSTANTS[simd.dtype]
    mantissa = MANTISSA_BITS[simd.dtype]
    # The bits above the integer are those of 1.5 * 2**mantissa.
    above = ((own.exponent_bias + mantissa) << mantissa) | (1 << (mantissa - 1))
    n = build.sub(bits, simd.const_integers(above + own.exponent_bias))
    half = build.ashr(n, simd.const_integers(1))
    for part in (half, build.sub(n, half)):
        x = simd.mul(x, _power_of_two(simd, build.add(part, simd.const_integers(own.exponent_bias))))
    return x


def expm1(simd: Simd, x: Value) -> Value:
    """e^x - 1, exact to the last bits also near 0."""
    _, high = _CONSTANTS[simd.dtype].exp_range
    # 2^(n - 1), and the result doubled: 2^n may be infinite where e^x is not.
    r, bits = _reduced(simd, clamp(simd, x, -40.0, high), offset=-1)
    scale = _power_of_two(simd, bits)
    half = simd.fma(scale, _exp_minus_one(simd, r), simd.sub(scale, simd.const(0.5)))
    # The smallest numbers would lose a bit in the halving.
    tiny = simd.compare("<", simd.abs(x), simd.const(2.0**-60))
    return simd.select(tiny, x, simd.add(half, half))


def sigmoid(simd: Simd, x: Value) -> Value:
    """1 / (1 + e^-x).

    Numerator and denominator are scaled by 2^-m, with m bits of mantissa, so that e^-x may reach 2^(m + 127), where
    the result vanishes, without a second step.
    """
    m = MANTISSA_BITS[simd.dtype]
    low, _ = _CONSTANTS[simd.dtype].exp_range
    r, bits = _reduced(simd, simd.neg(clamp(simd, x, low, 60.0)), offset=-m)
    scale = _power_of_two(simd, bits)
    one = simd.const(2.0**-m)
    return simd.quotient(one, simd.add(one, simd.fma(scale, _exp_minus_one(simd, r), scale)))


def tanh(simd: Simd, x: Value) -> Value:
    """tanh x = u / (u + 2) with u = e^2x - 1, which keeps its precision near 0."""
    r, bits = _reduced(simd, clamp(simd, simd.add(x, x), -40.0, 40.0))
    scale = _power_of_two(simd, bits)
    u = simd.fma(scale, _exp_minus_one(simd, r), simd.sub(scale, simd.const(1)))
    return simd.quotient(u, simd.add(u, simd.const(2)))


def _mantissa_and_exponent(simd: Simd, x: Value) -> tuple[Value, Value]:
    """x = m 2^e with sqrt(1/2) <= m < sqrt 2, for x > 0, denormals included."""
    build = simd.builder
    own = _CONSTANTS[simd.dtype]
    mantissa = MANTISSA_BITS[simd.dtype]
    small = simd.compare("<", x, simd.const(own.smallest))
    lifted = simd.select(small, simd.mul(x, simd.const(2.0**mantissa)), x)
    above = build.sub(simd.bits(lifted), simd.const_integers(own.sqrt_half))
    kept = build.and_(above, simd.const_integers((1 << mantissa) - 1))
    m = simd.from_bits(build.add(kept, simd.const_integers(own.sqrt_half)))
    # Through i32, which every host converts in one step.
    exponent = build.ashr(above, simd.const_integers(mantissa))
    if simd.integer != I32:
        exponent = build.trunc(exponent, ir.VectorType(I32, simd.lanes))
    e = build.sitofp(exponent, simd.vector)
    return m, simd.sub(e, simd.select(small, simd.const(mantissa), simd.const(0)))


def _log_near_one(simd: Simd, f: Value) -> Value:
    """d in log(1 + f) = f - d for 1 + f between sqrt(1/2) and sqrt 2; much smaller than f near 0.

    With s = f / (2 + f): log(1 + f) = 2 atanh s, and d = f^2/2 - s (f^2/2 + R(s^2)) (fdlibm, e_log.c).
    """
    s = simd.div(f, simd.add(f, simd.const(2)))
    z = simd.mul(s, s)
    R = simd.mul(z, polynomial(simd, z, _CONSTANTS[simd.dtype].log))
    half_square = simd.mul(simd.mul(f, f), simd.const(0.5))
    return simd.sub(half_square, simd.mul(s, simd.add(half_square, R)))


def _log(simd: Simd, x: Value, correction: Value | None = None) -> Value:
    """log x + correction for x > 0."""
    m, e = _mantissa_and_exponent(simd, x)
    f = simd.sub(m, simd.const(1))
    d = _log_near_one(simd, f)
    head, tail = _CONSTANTS[simd.dtype].ln2
    small = simd.fma(e, simd.const(tail), simd.neg(d))
    if correction is not None:
        small = simd.add(small, correction)
    return simd.fma(e, simd.const(head), simd.add(f, small))


def _log_at_the_edges(simd: Simd, x: Value, inside: Value) -> Value:
    """``inside`` for finite x > 0; -inf at 0, NaN below, infinity and NaN as they are."""
    infinite = simd.const(math.inf)
    result = simd.select(simd.compare("<", x, infinite), inside, x)
    result = simd.select(simd.compare("==", x, simd.const(0)), simd.const(-math.inf), result)
    return simd.select(simd.compare("<", x, simd.const(0)), simd.const(math.nan), result)


def log(simd: Simd, x: Value) -> Value:
    """The natural logarithm."""
    return _log_at_the_edges(simd, x, _log(simd, x))


def log2(simd: Simd, x: Value) -> Value:
    """The logarithm to base 2, exact for powers of two."""
    m, e = _mantissa_and_exponent(simd, x)
    f = simd.sub(m, simd.const(1))
    d = _log_near_one(simd, f)
    return _log_at_the_edges(simd, x, simd.fma(simd.sub(f, d), simd.const(1 / math.log(2)), e))


def log10(simd: Simd, x: Value) -> Value:
    """The logarithm to base 10."""
    return simd.mul(log(simd, x), simd.const(1 / math.log(10)))


def log1p(simd: Simd, x: Value) -> Value:
    """log(1 + x), exact to the last bits also near 0."""
    one = simd.const(1)
    u = simd.add(x, one)
    # What the addition rounded off (Knuth's TwoSum), brought back to first order.
    back = simd.sub(u, one)
    lost = simd.add(simd.sub(one, simd.sub(u, back)), simd.sub(x, back))
    inside = _log(simd, u, simd.div(lost, u))
    tiny = simd.compare("<", simd.abs(x), simd.const(2.0**-60))
    return simd.select(tiny, x, _log_at_the_edges(simd, u, inside))


def sin(simd: Simd, x: Value) -> Value:
    """The sine; arguments beyond a million quarter turns go to the C library."""
    return _circular(simd, x, "sin")


def cos(simd: Simd, x: Value) -> Value:
    """The cosine; arguments beyond a million quarter turns go to the C library."""
    return _circular(simd, x, "cos")


def tan(simd: Simd, x: Value) -> Value:
    """The tangent."""
    return simd.div(sin(simd, x), cos(simd, x))


def _circular(simd: Simd, x: Value, name: str) -> Value:
    build = simd.builder
    far = simd.compare(">", simd.abs(x), simd.const(_MOST_QUADRANTS * math.pi / 2))
    near = _circular_near(simd, x, quarter_turns=1 if name == "cos" else 0)
    before = build.block
    with build.if_then(simd.any(far), likely=False):
        exact = simd.intrinsic(name, x)
        called = build.block
    result = build.phi(simd.vector)
    result.add_incoming(near, before)
    result.add_incoming(exact, called)
    return result


def _circular_near(simd: Simd, x: Value, quarter_turns: int) -> Value:
    """sin(x + quarter_turns pi/2)."""
    build = simd.builder
    own = _CONSTANTS[simd.dtype]
    r, quadrant = _quadrant(simd, x)
    if quarter_turns:
        quadrant = build.add(quadrant, ir.Constant(quadrant.type, [quarter_turns] * simd.lanes))
    z = simd.mul(r, r)
    sine = simd.fma(simd.mul(r, z), polynomial(simd, z, own.sin), r)
    cosine = simd.fma(simd.mul(z, z), polynomial(simd, z, own.cos), simd.fma(z, simd.const(-0.5), simd.const(1)))
    value = simd.select(_bit(build, quadrant, 1), cosine, sine)
    return simd.select(_bit(build, quadrant, 2), simd.neg(value), value)


def _quadrant(simd: Simd, x: Value) -> tuple[Value, Value]:
    """x = n pi/2 + r with |r| <= pi/4: r, and integers that end in the bits of n. The reduction is in float64."""
    wide = simd.with_dtype(torch.float64)
    narrow = simd.dtype != torch.float64
    r = simd.builder.fpext(x, wide.vector) if narrow else x
    n, bits = _nearest_integer(wide, r, 2 / math.pi, 0)
    for part in _HALF_PI:
        r = wide.fma(n, wide.const(-part), r)
    return (simd.builder.fptrunc(r, simd.vector) if narrow else r), bits


def _bit(build: Value, integers: Value, bit: int) -> Value:
    kind = integers.type
    chosen = build.and_(integers, ir.Constant(kind, [bit] * kind.count))
    return build.icmp_signed("!=", chosen, ir.Constant(kind, [0] * kind.count))


def erf(simd: Simd, x: Value) -> Value:
    """The error function: an odd polynomial up to 1, then 1 - erfc x with erfc x = Q(1 / (x + 2)) e^(-x^2)."""
    own = _CONSTANTS[simd.dtype]
    size = simd.abs(x)
    inner = simd.mul(x, polynomial(simd, simd.mul(x, x), own.erf))
    bounded = clamp(simd, size, 1.0, own.erf_is_one)
    t = simd.div(simd.const(1), simd.add(bounded, simd.const(2)))
    tail = simd.mul(polynomial(simd, t, own.erfc), _exp_within(simd, simd.neg(simd.mul(bounded, bounded))))
    outer = simd.intrinsic("copysign", simd.sub(simd.const(1), tail), x)
    return simd.select(simd.compare("<", size, simd.const(1)), inner, outer)


def sinh(simd: Simd, x: Value) -> Value:
    """The hyperbolic sine, (u + u / (u + 1)) / 2 with u = e^|x| - 1; e^|x| in two factors where it overflows."""
    size = simd.abs(x)
    u = expm1(simd, size)
    near = simd.mul(simd.const(0.5), simd.add(u, simd.div(u, simd.add(u, simd.const(1)))))
    half = exp(simd, simd.mul(size, simd.const(0.5)))
    far = simd.mul(simd.mul(simd.const(0.5), half), half)
    result = simd.select(simd.compare("<", size, simd.const(40.0)), near, far)
    return simd.intrinsic("copysign", result, x)


def cosh(simd: Simd, x: Value) -> Value:
    """The hyperbolic cosine, with e^|x| in two factors where it overflows."""
    half = exp(simd, simd.mul(simd.abs(x), simd.const(0.5)))
    grown = simd.mul(simd.mul(simd.const(0.5), half), half)
    whole = exp(simd, simd.abs(x))
    near = simd.mul(simd.const(0.5), simd.add(whole, simd.div(simd.const(1), whole)))
    return simd.select(simd.compare("<", simd.abs(x), simd.const(40.0)), near, grown)


def asinh(simd: Simd, x: Value) -> Value:
    """The inverse of sinh: log1p(a + a^2 / (1 + sqrt(a^2 + 1))) with a = |x|."""
    size = simd.abs(x)
    square = simd.mul(size, size)
    root = simd.sqrt(simd.add(square, simd.const(1)))
    near = log1p(simd, simd.add(size, simd.div(square, simd.add(simd.const(1), root))))
    return simd.intrinsic("copysign", _log_of_double_where_large(simd, size, near), x)


def acosh(simd: Simd, x: Value) -> Value:
    """The inverse of cosh: log1p(t + sqrt(2 t + t^2)) with t = x - 1; NaN below 1."""
    t = simd.sub(x, simd.const(1))
    near = log1p(simd, simd.add(t, simd.sqrt(simd.fma(t, t, simd.add(t, t)))))
    inside = simd.compare(">=", x, simd.const(1))
    return simd.select(inside, _log_of_double_where_large(simd, x, near), simd.const(math.nan))


def _log_of_double_where_large(simd: Simd, x: Value, near: Value) -> Value:
    """log 2x, which asinh x and acosh x round to, where a square might overflow; else ``near``."""
    far = simd.add(log(simd, x), simd.const(math.log(2)))
    return simd.select(simd.compare(">", x, simd.const(2.0**40)), far, near)


def atanh(simd: Simd, x: Value) -> Value:
    """The inverse of tanh: log1p(2 a / (1 - a)) / 2 with a = |x|; NaN beyond 1."""
    size = simd.abs(x)
    ratio = simd.div(simd.add(size, size), simd.sub(simd.const(1), size))
    return simd.intrinsic("copysign", simd.mul(simd.const(0.5), log1p(simd, ratio)), x)
