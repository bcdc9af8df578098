"""S-shaped functions of vectors, made of the exponential function; activations are made of them.

Each also returns what its derivative is made of, as it is at hand. Nothing is lost to cancellation
on the side where a function falls to 0, and NaN stays NaN.
"""

from __future__ import annotations

import math

from llvmlite import ir

from sparsecpu.kernels.vectors import llvm as emit
from sparsecpu.kernels.vectors.exponential import (
    at_most,
    constant,
    exp,
    magnitude,
    polynomial,
    power_of_two,
    split,
)

#: Where ``_TAIL`` is centred: at this x, t is 0.
_CENTRE = 4.0
#: P of ``normal``, fitted with the least largest error; coefficient of ``t**0`` first.
_TAIL_SINGLE = (
    0.18882128262615847, -0.15197416005319583, 0.09678434860477839, -0.046630496231932564,
    0.015099160999543882, -0.0018846721949879455, -0.0008699857564500838, 0.00040606190931541977,
    3.3410106558487207e-05, -5.444276641277949e-05, -4.3149807307235865e-07, 5.494760853652914e-06,
)  # fmt: skip
_TAIL_DOUBLE = (
    0.18882128260393788, -0.15197416049297302, 0.09678435018555373, -0.04663046448991412,
    0.015099143722729537, -0.0018850472416936414, -0.0008699230917632203, 0.0004077046146687462,
    3.333607736432325e-05, -5.777373687835619e-05, -4.770616502310272e-07, 8.786191649130963e-06,
    1.791649088319097e-07, -1.4801239535044024e-06, -1.5745968559383638e-07, 2.5559104434575165e-07,
    6.811651663560289e-08, -3.90536827978281e-08, -2.1717407869198075e-08, 3.5872460588970004e-09,
    5.357413574011891e-09, 4.024016481399259e-10, -9.328526034634455e-10, -2.296791162534624e-10,
    8.511410044601959e-11, 3.194371970707964e-11,
)  # fmt: skip


def negated(builder, x):
    """Return ``-x``."""
    return builder.fsub(constant(x.type, -0.0), x)


def below_zero(builder, x, this, that):
    """Return ``this`` in the lanes where ``x < 0`` and ``that`` elsewhere."""
    return builder.select(builder.fcmp_ordered("<", x, constant(x.type, 0)), this, that)


def logistic(builder, x):
    """Return ``s(x) = 1 / (1 + exp(-x))`` and ``1 - s(x)``."""
    one = constant(x.type, 1)
    e = exp(builder, negated(builder, magnitude(builder, x)))
    sum_ = builder.fadd(one, e)
    large, small = builder.fdiv(one, sum_), builder.fdiv(e, sum_)
    return below_zero(builder, x, small, large), below_zero(builder, x, large, small)


def tanh(builder, x):
    """Return ``tanh(x)`` as ``m / (m + 2)`` with ``m = exp(2 |x|) - 1``, which is exact near 0."""
    one = constant(x.type, 1)
    twice = builder.fmul(magnitude(builder, x), constant(x.type, 2))
    n, rest = split(builder, at_most(builder, twice, 40))  # beyond, it is 1
    scale = power_of_two(builder, n, x.type)
    m = emit.fma(builder, builder.fsub(scale, one), rest, scale)
    found = builder.fdiv(m, builder.fadd(m, constant(x.type, 2)))
    return below_zero(builder, x, negated(builder, found), found)


def normal(builder, x):
    """Return the normal distribution's function at x, and its density.

    With u = |x|, the function at -u is ``exp(-u**2 / 2) s P(t)``, where s = 4 / (u + 4) runs from 1
    to 0, t = 1 - 2 s from -1 to 1, and P is a polynomial. What rounding takes from ``u**2`` comes
    back as a factor: far out it would be many units in the last place.
    """
    kind, one = x.type, constant(x.type, 1)
    u = at_most(builder, magnitude(builder, x), 40)  # beyond, it is 0 or 1
    centre = constant(kind, _CENTRE)
    s = builder.fdiv(centre, builder.fadd(u, centre))
    t = emit.fma(builder, one, constant(kind, -2), s)
    double = isinstance(kind.element, ir.DoubleType)
    p = polynomial(builder, t, _TAIL_DOUBLE if double else _TAIL_SINGLE)
    square = builder.fmul(u, u)
    lost = emit.fma(builder, negated(builder, square), u, u)
    minus_half = constant(kind, -0.5)
    e = exp(builder, builder.fmul(square, minus_half))
    e = emit.fma(builder, e, e, builder.fmul(lost, minus_half))
    tail = builder.fmul(builder.fmul(s, p), e)
    found = below_zero(builder, x, tail, builder.fsub(one, tail))
    return found, builder.fmul(e, constant(kind, 1 / math.sqrt(2 * math.pi)))
