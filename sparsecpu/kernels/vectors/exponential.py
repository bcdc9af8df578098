"""The exponential function of vectors, lane by lane, within 2 units in the last place (1.1 found).

``exp(x) = 2**n exp(r)``, with n the integer next to ``x / log(2)``, so that r is at most log(2) / 2
away from 0. There a polynomial is as good as rounding: ``1 + r + r**2 q(r)``, q having the least
largest error (Chebyshev's). Two products with powers of two, each about half of n, keep the range:
the result runs over to infinity, and through the subnormal numbers to 0, where it should. NaN stays
NaN.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.core.extending import intrinsic

from sparsecpu.kernels.machine.compile import TINY
from sparsecpu.kernels.vectors import llvm as emit


class Format(NamedTuple):
    """What the exponential function needs to know of a type of floats."""

    integer: ir.IntType
    mantissa: int  #: bits of the fraction
    bias: int  #: of the exponent
    least: float  #: what is smaller ends as 0
    most: float  #: what is larger ends as infinity
    high: float  #: log(2) in so few bits that its products with n are exact ...
    low: float  #: ... and what is missing
    q: tuple[float, ...]  #: coefficients of q, of r**0 first
    two: tuple[float, ...]  #: of 2**r, for r from -0.5 to 0.5, the relative error being least


_SINGLE = Format(
    ir.IntType(32), 23, 127, -104.0, 89.0, 0.693359375, -2.12194440e-4,
    (0.5, 0.16666576989698775, 0.041666554617204574, 0.008363179052722578, 0.0013926183587713494),
    (1.0000000716546849, 0.6931469670647604, 0.2402211972384021, 0.0555071327349832,
     0.009675541334444393, 0.0013276471992410804),
)  # fmt: skip
_DOUBLE = Format(
    ir.IntType(64), 52, 1023, -746.0, 710.0, 6.93147180369123816490e-01, 1.90821492927058770002e-10,
    (0.5, 0.16666666666666669, 0.04166666666662413, 0.008333333333330062, 0.0013888888917213717,
     0.00019841269863053618, 2.4801521295954376e-05, 2.7557268459997064e-06,
     2.7620088445409746e-07, 2.510038549551032e-08),
    (1.0, 0.6931471805599453, 0.24022650695910158, 0.055504108664819904, 0.009618129107587903,
     0.0013333558146793078, 0.00015403530463014575, 1.5252733488248602e-05, 1.3215432856088597e-06,
     1.0178198309286341e-07, 7.0741435103574846e-09, 4.43529295783465e-10),
)  # fmt: skip


def plain_exp(x: np.ndarray) -> np.ndarray:
    """Return ``exp(x)`` in float64, by the same steps."""
    f = _DOUBLE
    x = np.clip(np.asarray(x, np.float64), f.least, f.most)
    n = np.rint(x / np.log(2))
    r = x - n * f.high - n * f.low
    p = 1 + r + r**2 * np.polynomial.polynomial.polyval(r, f.q)
    half = np.floor(n / 2)
    with np.errstate(over="ignore", under="ignore"):
        return p * 2.0**half * 2.0 ** (n - half)


def form(kind: ir.VectorType) -> Format:
    """Return what there is to know of a vector's floats."""
    return _DOUBLE if isinstance(kind.element, ir.DoubleType) else _SINGLE


def constant(kind: ir.VectorType, number: float) -> ir.Constant:
    """Return a vector with ``number`` in every lane."""
    return ir.Constant(kind, [float(number)] * kind.count)


def magnitude(builder, x):
    """Return ``|x|``."""
    element = "f64" if isinstance(x.type.element, ir.DoubleType) else "f32"
    kind = ir.FunctionType(x.type, [x.type])
    name = f"llvm.fabs.v{x.type.count}{element}"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [x])


def at_most(builder, x, limit):
    """Return ``min(x, limit)``, the limit being a number; NaN stays NaN."""
    bound = constant(x.type, limit)
    return builder.select(builder.fcmp_ordered(">", x, bound), bound, x)


def at_least(builder, x, limit):
    """Return ``max(x, limit)``, the limit being a number; NaN stays NaN."""
    bound = constant(x.type, limit)
    return builder.select(builder.fcmp_ordered("<", x, bound), bound, x)


def polynomial(builder, x, coefficients):
    """Return a polynomial of x; the coefficient of ``x**0`` comes first."""
    found = constant(x.type, coefficients[-1])
    for c in coefficients[-2::-1]:
        found = emit.fma(builder, constant(x.type, c), found, x)
    return found


def split(builder, x):
    """Return n, as a vector of integers, and ``exp(r) - 1``, of ``exp(x) = 2**n exp(r)``.

    Added to 1.5 times the largest power of two whose neighbours are whole numbers, a number loses
    its fraction, and its last bits are n. No instruction converts, which would be undefined of NaN.
    """
    f, kind = form(x.type), x.type
    integers = ir.VectorType(f.integer, kind.count)
    shift = constant(kind, 1.5 * 2.0**f.mantissa)
    shifted = emit.fma(builder, shift, x, constant(kind, 1 / np.log(2)))
    whole = builder.fsub(shifted, shift)
    n = builder.sub(builder.bitcast(shifted, integers), builder.bitcast(shift, integers))
    r = emit.fma(builder, x, whole, constant(kind, -f.high))
    r = emit.fma(builder, r, whole, constant(kind, -f.low))
    return n, emit.fma(builder, r, builder.fmul(r, r), polynomial(builder, r, f.q))


def power_of_two(builder, n, kind):
    """Return ``2**n`` of a vector of integers, where that is a normal number."""
    f = form(kind)
    every = [f.bias] * kind.count, [f.mantissa] * kind.count
    bias, mantissa = (ir.Constant(n.type, lanes) for lanes in every)
    return builder.bitcast(builder.shl(builder.add(n, bias), mantissa), kind)


def exp(builder, x):
    """Return ``exp(x)``."""
    f = form(x.type)
    x = at_least(builder, at_most(builder, x, f.most), f.least)
    n, rest = split(builder, x)
    half = builder.ashr(n, ir.Constant(n.type, [1] * x.type.count))
    scales = [power_of_two(builder, part, x.type) for part in (half, builder.sub(n, half))]
    found = builder.fadd(rest, constant(x.type, 1))
    return builder.fmul(builder.fmul(found, scales[0]), scales[1])


def power_of_two_of(builder, x, factor):
    """Return ``2**(factor x)`` where that is at most about 1, and 0 where it is below ``TINY``.

    Within 3 units in the last place, and cheaper than ``exp``. Arithmetic with subnormal numbers
    takes many times as long, even where it ends as 0.
    """
    f, kind = form(x.type), x.type
    shift = 1.5 * 2.0**f.mantissa + f.bias
    shifted = emit.fma(builder, constant(kind, shift), x, factor)  # ends with n and the bias
    n = builder.fsub(shifted, constant(kind, shift))
    r = emit.fma(builder, builder.fneg(n), x, factor)
    integers = ir.VectorType(f.integer, kind.count)
    mantissa = ir.Constant(integers, [f.mantissa] * kind.count)
    power = builder.bitcast(builder.shl(builder.bitcast(shifted, integers), mantissa), kind)
    found = builder.fmul(polynomial(builder, r, f.two), power)
    least = constant(kind, shift + math.floor(math.log2(TINY)))
    small = builder.fcmp_ordered("<", shifted, least)
    return builder.select(small, constant(kind, 0), found)


@intrinsic
def exponential(typing_context, v):
    """Return ``exp(v)``."""

    def generate(context, builder, signature, args):
        return exp(builder, args[0])

    return v(v), generate
