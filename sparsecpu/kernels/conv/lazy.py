"""Lazy planes, read with what is pending; outputs, finished with what comes after.

What is normalised is read as its distance from a centre, a number near its mean: the products of
large numbers with a factor would cancel each other but for their rounding errors. For the same
reason, sums are made in floats of a strip or a row alone, there of distances from its first number,
and added up in float64, in which numbers as they are do as well: rounding errors of x**2 are then
smaller than what rounding x to float32 does to the variance, whatever the mean.

Vectors of zeros tell widths: ``pixel`` is as wide as one pixel's lanes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparsecpu.kernels.conv.sums import MOMENTS, NO_SUMS, PRODUCTS
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.cpu import near_level_three
from sparsecpu.kernels.vectors.arithmetic import (
    add,
    count,
    fma,
    folded,
    minus,
    multiply,
    positive_part,
    repeated,
    splat_like,
    where_positive,
    widened,
)
from sparsecpu.kernels.vectors.memory import at, load_like, store

#: Bytes of an output from which on it is written past the caches: it would not stay there. On a
#: CPU with 1 MiB of level 2, such writes also left more of it to what is read (1 to 9 % of a step).
LARGE = 1_000_000 if near_level_three() else 16_000_000


class Coefficients(NamedTuple):
    """What is pending for one channel."""

    a: float
    b: float
    c: float
    centre: float


@kernel(inlined=True)
def is_large(y):
    """Return True if an output is written past the caches."""
    return y.size * y.itemsize >= LARGE


@kernel(inlined=True)
def coefficients(planes, channel):
    """Return what is pending for a channel of an operand, or of a gate."""
    one, zero = planes.values.dtype.type(1), planes.values.dtype.type(0)
    a, b, c, centre = one, zero, zero, zero
    if planes.pending.shape[0] > 0:
        here = 4 * np.int64(channel)
        a, b = at(planes.pending, here), at(planes.pending, here + 1)
        c, centre = at(planes.pending, here + 2), at(planes.pending, here + 3)
    return Coefficients(a, b, c, centre)


@kernel(inlined=True)
def read(operand, pending, place, like):
    """Return what an ``Operand`` stands for from ``place`` on, as wide as ``like``."""
    v = load_like(operand.values, place, like)
    if operand.other.shape[0] > 0:
        v = fma(splat_like(pending.c, like), pending.a, v)
        v = fma(v, pending.b, minus(load_like(operand.other, place, like), pending.centre))
    elif operand.pending.shape[0] > 0:
        v = fma(splat_like(pending.c, like), pending.a, minus(v, pending.centre))
    if operand.relu:
        v = positive_part(v)
    return v


@kernel(inlined=True)
def _gated(v, place, gate, pending):
    """Return outputs where the gate is open, 0 elsewhere, and ``x - centre`` (or anything)."""
    x = v
    if gate.values.shape[0] > 0:
        x = minus(load_like(gate.values, place, v), pending.centre)
        v = where_positive(v, fma(splat_like(pending.c, v), pending.a, x))
    return v, x


@kernel(inlined=True)
def completed(v, place, out, added):
    """Return outputs with what is added to them, or the positive part of this if it is wanted.

    ``added`` are the coefficients of ``out.plus``.
    """
    if out.plus.values.shape[0] > 0:
        v = add(v, read(out.plus, added, place, v))
    if out.relu:
        v = positive_part(v)
    return v


@kernel(inlined=True)
def below(centre, mask):
    """Return what leads from a pixel's outputs to their distances from a centre."""
    return multiply(splat_like(-centre, mask), mask)


@kernel(inlined=True)
def finish_pixel(v, place, out, gate, pending, mask, shift, first, second):
    """Return a pixel of outputs as it is written, and the two sums with it added."""
    v, x = _gated(v, place, gate, pending)
    if out.kind == PRODUCTS:
        masked = multiply(v, mask)
        first, second = add(first, masked), add(second, multiply(masked, x))
    if out.kind == MOMENTS:
        d = add(multiply(v, mask), shift)
        first, second = add(first, d), add(second, multiply(d, d))
    return v, first, second


@kernel(inlined=True)
def finish_strip(v, place, out, gate, pending, mask, shift):
    """Return a strip of outputs as it is written, and what it adds to the two sums.

    ``shift`` is what ``below`` returns, a pixel's lanes wide.
    """
    first, second = shift, shift
    v, x = _gated(v, place, gate, pending)
    if out.kind == PRODUCTS:
        masked = multiply(v, mask)
        first, second = folded(masked, shift), folded(multiply(masked, x), shift)
    if out.kind == MOMENTS:
        d = add(multiply(v, mask), repeated(shift, v))
        first, second = folded(d, shift), folded(multiply(d, d), shift)
    return v, first, second


@kernel(inlined=True)
def sums_of(number, channel, out):
    """Return where a job has its sums of a channel."""
    return (np.int64(number) * out.sums.shape[1] + channel) * 2 * out.sums.shape[3]


@kernel(inlined=True)
def add_sums(out, place, first, second, centre, numbers):
    """Add what a strip or a row sums to the job's sums from ``place`` on, where there are any.

    Of an output, what it sums are distances d from ``centre`` and d**2, in each lane those of as
    many numbers as ``numbers`` says. x is ``d + centre``, and x**2 is ``d**2 + centre * (d + x)``.
    """
    if out.kind != NO_SUMS:
        one, two = widened(first), widened(second)
        if out.kind == MOMENTS:
            whole = fma(one, np.float64(centre), widened(numbers))
            two = fma(two, np.float64(centre), add(one, whole))
            one = whole
        store(out.sums, place, add(load_like(out.sums, place, one), one))
        place += count(one)
        store(out.sums, place, add(load_like(out.sums, place, two), two))
