"""Activations in 16 bits: half the bytes to read for each nonzero, at a cost in accuracy.

A nonzero costs one read of a row of ``lanes`` numbers from the level-2 cache, and these reads are
what limits the kernels. Two forms of such a row:

fp16
    ``lanes`` numbers of ``uint16``: 11 significant bits, at most 65,504. Reading one costs a
    conversion instruction, which on some CPUs takes back what the shorter row wins.
bf16
    ``lanes / 2`` words of ``uint32``, each a pair: 8 significant bits and the range of float32::

        word l          | bits of number l + lanes/2 | bits of number l |
                         31                        16 15               0
        number l             = the word shifted left by 16, read as a float
        number l + lanes/2   = the word itself, read as a float

    What the low half adds to the second number's significand is allowed for when the pair is
    written, so both are rounded to nearest. A word that was only its low half would be a subnormal
    number, on which arithmetic is many times slower; so a second number nearer to 0 than ``LEAST``
    becomes ``LEAST`` with its sign.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.extending import intrinsic

from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.machine.team import share
from sparsecpu.kernels.vectors.memory import load

#: What stands for 0 in the high half of a pair.
LEAST = 2.0**-60
_LEAST_BITS = int(np.float32(LEAST).view(np.uint32))
#: Rows that are written in one go, and numbers at a time: half of the narrowest row.
_ROWS, _STEP = 64, 8


@intrinsic
def _store_half(typing_context, array, offset, v):
    """Write a vector of float32 as fp16."""

    def generate(context, builder, signature, args):
        half = builder.fptrunc(args[2], ir.VectorType(ir.HalfType(), v.lanes))
        bits = builder.bitcast(half, ir.VectorType(ir.IntType(16), v.lanes))
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), bits.type.as_pointer())
        builder.store(bits, place).align = 2
        return context.get_dummy_value()

    return types.void(array, types.int64, v), generate


def plain_pairs(x: np.ndarray) -> np.ndarray:
    """Return a row of float32, all of them finite, as words of bf16 pairs."""
    first, second = (half.view(np.uint32) for half in np.split(x, 2))
    low = (first + 0x7FFF + (first >> 16 & 1)) >> 16  # to nearest, ties to even
    high = (second - low + 0x8000) & 0xFFFF0000  # the word as a whole is nearest to the second
    tiny = np.abs(second.view(np.float32)) < LEAST
    return np.where(tiny, (second & 0x80000000) | _LEAST_BITS, high) | low


def bf16_pairs(builder, a, b):
    """Return two vectors of float32 as words of bf16 pairs, ``a`` in the low halves."""
    count = a.type.count
    words = ir.VectorType(ir.IntType(32), count)

    def bits(value):
        return ir.Constant(words, [value] * count)

    a, b = builder.bitcast(a, words), builder.bitcast(b, words)
    odd = builder.and_(builder.lshr(a, bits(16)), bits(1))  # ties go to even
    low = builder.lshr(builder.add(a, builder.add(odd, bits(0x7FFF))), bits(16))
    high = builder.add(builder.sub(b, low), bits(0x8000))  # the word as a whole is nearest to b
    size, sign = builder.and_(b, bits(0x7FFFFFFF)), builder.and_(b, bits(0x80000000))
    least = builder.icmp_unsigned("<", size, bits(_LEAST_BITS))
    high = builder.select(least, builder.or_(sign, bits(_LEAST_BITS)), high)
    infinite = builder.icmp_unsigned(">=", size, bits(0x7F800000))
    high = builder.and_(builder.select(infinite, b, high), bits(0xFFFF0000))
    return builder.or_(high, low)


@intrinsic
def _store_pairs(typing_context, array, offset, first, second):
    """Write two vectors of float32 as words of bf16 pairs."""

    def generate(context, builder, signature, args):
        words = bf16_pairs(builder, args[2], args[3])
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), words.type.as_pointer())
        builder.store(words, place).align = 4
        return context.get_dummy_value()

    return types.void(array, types.int64, first, second), generate


@functools.cache
def narrow_kernel(precision: str) -> Callable:
    """Return the kernel ``narrow(x, out)`` that writes float32 rows as "fp16" or "bf16".

    ``x`` is ``(rows, lanes)``; ``out`` is ``(rows, lanes)`` of uint16 for fp16, and ``(rows, lanes
    / 2)`` of uint32 for bf16.
    """
    pairs = precision == "bf16"

    @kernel(parallel=True)
    def narrow(team, x, out):
        rows, lanes = x.shape
        half = lanes // 2
        for group in share(team, (rows + _ROWS - 1) // _ROWS):
            for row in range(group * _ROWS, min(rows, (group + 1) * _ROWS)):
                here = np.int64(row) * lanes
                if pairs:
                    for lane in range(0, half, _STEP):
                        first = load(x, here + lane, _STEP)
                        second = load(x, here + half + lane, _STEP)
                        _store_pairs(out, np.int64(row) * half + lane, first, second)
                else:
                    for lane in range(0, lanes, _STEP):
                        _store_half(out, here + lane, load(x, here + lane, _STEP))

    return narrow


def narrowed(x: np.ndarray, out: np.ndarray, precision: str) -> np.ndarray:
    """Write tiles ``(tiles, features, lanes)`` in 16 bits to ``out`` and return it."""
    narrow_kernel(precision)(x.reshape(-1, x.shape[-1]), out.reshape(-1, out.shape[-1]))
    return out


def narrow_shape(shape: tuple[int, ...], precision: str) -> tuple[tuple[int, ...], type]:
    """Return shape and element type of float32 tiles of this shape in 16 bits."""
    if precision == "fp16":
        return shape, np.uint16
    return (*shape[:-1], shape[-1] // 2), np.uint32
