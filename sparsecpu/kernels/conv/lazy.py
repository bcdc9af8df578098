"""Lazy planes, read with what is pending; outputs, finished with what comes after.

Vectors of zeros tell widths: ``pixel`` is as wide as one pixel's lanes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparsecpu.kernels.conv.sums import MOMENTS, NO_SUMS, PRODUCTS
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.vectors.arithmetic import (
    add,
    count,
    fma,
    folded,
    multiply,
    positive_part,
    splat_like,
    where_positive,
)
from sparsecpu.kernels.vectors.memory import at, load_like, store

#: Bytes of an output from which on it is written past the caches: it would not stay there.
LARGE = 16_000_000


class Coefficients(NamedTuple):
    """What is pending for one channel."""

    a: float
    b: float
    c: float


@kernel(inlined=True)
def is_large(y):
    """Return True if an output is written past the caches."""
    return y.size * y.itemsize >= LARGE


@kernel(inlined=True)
def coefficients(operand, channel):
    """Return what is pending for a channel of an operand."""
    one, zero = operand.values.dtype.type(1), operand.values.dtype.type(0)
    a, b, c = one, zero, zero
    if operand.a.shape[0] > 0:
        a, c = at(operand.a, channel), at(operand.c, channel)
    if operand.b.shape[0] > 0:
        b = at(operand.b, channel)
    return Coefficients(a, b, c)


@kernel(inlined=True)
def read(operand, pending, place, like):
    """Return ``relu(a * values + b * other + c)`` from ``place`` on, as wide as ``like``."""
    v = load_like(operand.values, place, like)
    if operand.a.shape[0] > 0:
        v = fma(splat_like(pending.c, like), pending.a, v)
    if operand.b.shape[0] > 0:
        v = fma(v, pending.b, load_like(operand.other, place, like))
    if operand.relu:
        v = positive_part(v)
    return v


@kernel(inlined=True)
def gate_coefficients(gate, channel):
    """Return what is pending for a channel of the x of a gate."""
    a, c = gate.x.dtype.type(1), gate.x.dtype.type(0)
    if gate.a.shape[0] > 0:
        a, c = at(gate.a, channel), at(gate.c, channel)
    return Coefficients(a, gate.x.dtype.type(0), c)


@kernel(inlined=True)
def _gated(v, place, gate, pending):
    """Return outputs where the gate is open, 0 elsewhere, and the x that tells (or anything)."""
    x = v
    if gate.x.shape[0] > 0:
        x = load_like(gate.x, place, v)
        v = where_positive(v, fma(splat_like(pending.c, v), pending.a, x))
    return v, x


@kernel(inlined=True)
def finish_pixel(v, place, out, gate, pending, mask, first, second):
    """Return a pixel of outputs as it is written, and the two sums with it added."""
    if out.relu:
        v = positive_part(v)
    v, x = _gated(v, place, gate, pending)
    if out.kind != NO_SUMS:
        masked = multiply(v, mask)
        first = add(first, masked)
        if out.kind == PRODUCTS:
            second = add(second, multiply(masked, x))
        else:
            second = add(second, multiply(masked, masked))
    return v, first, second


@kernel(inlined=True)
def finish_strip(v, place, out, gate, pending, mask, pixel):
    """Return a strip of outputs as it is written, and what it adds to the two sums."""
    first, second = pixel, pixel
    if out.relu:
        v = positive_part(v)
    v, x = _gated(v, place, gate, pending)
    if out.kind == PRODUCTS:
        masked = multiply(v, mask)
        first, second = folded(masked, pixel), folded(multiply(masked, x), pixel)
    if out.kind == MOMENTS:
        masked = multiply(v, mask)
        first, second = folded(masked, pixel), folded(multiply(masked, masked), pixel)
    return v, first, second


@kernel(inlined=True)
def sums_of(number, channel, out, lanes):
    """Return where a job has its sums of a channel."""
    return (np.int64(number) * out.sums.shape[1] + channel) * 2 * lanes


@kernel(inlined=True)
def load_sums(out, place, pixel):
    """Return the two sums from ``place`` on, zeros where there are none."""
    first, second = pixel, pixel
    if out.kind != NO_SUMS:
        first = load_like(out.sums, place, pixel)
        second = load_like(out.sums, place + count(pixel), pixel)
    return first, second


@kernel(inlined=True)
def store_sums(out, place, first, second):
    """Write the two sums from ``place`` on, where there are any."""
    if out.kind != NO_SUMS:
        store(out.sums, place, first)
        store(out.sums, place + count(first), second)


@kernel(inlined=True)
def add_sums(out, place, first, second):
    """Add two vectors to the sums from ``place`` on, where there are any."""
    if out.kind != NO_SUMS:
        before, other = load_sums(out, place, first)
        store_sums(out, place, add(before, first), add(other, second))
