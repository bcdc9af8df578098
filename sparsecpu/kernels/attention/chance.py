"""Dropout of attention: which weights are dropped is computed again, and kept nowhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from sparsecpu.kernels.attention.rows import rows_in
from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.vectors import llvm as emit
from sparsecpu.kernels.vectors.exponential import constant

#: What a query and a key add to the number that is hashed, for each that they are further on:
#: no two pairs whose tokens are less than some 2**15 apart have the same number.
STEPS = 0xC13FA9A9, 0x91E10DA5
#: Shifts and factors of a hash of 32 bits in which each bit depends on all.
_ROUNDS = (16, 0x7FEB352D), (15, 0x846CA68B)


def plain_kept(seed: int, head: int, tokens: int, rate: float) -> np.ndarray:
    """Return which weights are kept, ``(tokens, tokens)``: of each query and key."""
    numbers = np.arange(tokens, dtype=np.uint32)
    x: Any = np.uint32(start_of.py_func(np.int64(seed), np.int64(head)) % 2**32)
    x = x + numbers[:, None] * np.uint32(STEPS[0]) + numbers * np.uint32(STEPS[1])
    for shift, factor in _ROUNDS:
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return np.asarray(x ^ (x >> np.uint32(16)) >= int(rate * 2**32))


@kernel(inlined=True)
def start_of(seed, head):
    """Return where the numbers of a head begin: far from those of other heads, and seeds."""
    x = (seed % 2147483647) * 1000003 + head * 7368787 + 1
    for _ in range(3):
        x = (x ^ (x >> 16)) % 2147483648 * 1103515245 % 4294967296
    return x


@intrinsic(prefer_literal=True)
def dropped_by_chance(typing_context, bundle, start, lane, row, threshold, order):
    """Return the rows, which are above 0, with a minus sign where chance drops a weight.

    Lane l belongs to token number ``lane + l``, row r to token number ``row + r``; ``order`` is 1
    where lanes are queries, -1 where rows are. Chance is a hash of ``start`` and the two numbers,
    which drops what is below the threshold out of 2**32.
    """
    lanes, bits = bundle.dtype.lanes, bundle.dtype.dtype.bitwidth
    of_lanes, of_rows = STEPS if order.literal_value > 0 else STEPS[::-1]

    def generate(context, builder, signature, args):
        bundle_, start_, lane_, row_, threshold_, _ = args
        kind = ir.VectorType(emit.I32, lanes)

        def word(value):
            return builder.trunc(value, emit.I32)

        def times(value, number):
            return builder.mul(value, ir.Constant(emit.I32, number))

        first = builder.add(word(start_), times(word(lane_), of_lanes))
        first = builder.add(first, times(word(row_), of_rows))
        steps = ir.Constant(kind, [of_lanes * n % 2**32 for n in range(lanes)])
        least, rows = emit.splat(builder, word(threshold_), kind), []
        for r, row in enumerate(rows_in(builder, bundle, bundle_)):
            here = builder.add(first, ir.Constant(emit.I32, of_rows * r % 2**32))
            mixed = _mixed(builder, builder.add(emit.splat(builder, here, kind), steps))
            small = builder.icmp_unsigned("<", mixed, least)
            signed = ir.VectorType(ir.IntType(bits), lanes)
            sign = builder.select(small, ir.Constant(signed, [1 << (bits - 1)] * lanes),
                                  ir.Constant(signed, [0] * lanes))  # fmt: skip
            found = builder.or_(builder.bitcast(row, signed), sign)
            rows.append(builder.bitcast(found, row.type))
        return context.make_tuple(builder, bundle, rows)

    i64 = types.int64
    return bundle(bundle, i64, i64, i64, i64, order), generate


def _mixed(builder, x):
    """Return a hash of each number: every bit of it depends on all of theirs."""

    def constant_(number):
        return ir.Constant(x.type, [number] * x.type.count)

    for shift, factor in _ROUNDS:
        x = builder.mul(builder.xor(x, builder.lshr(x, constant_(shift))), constant_(factor))
    return builder.xor(x, builder.lshr(x, constant_(16)))


@intrinsic
def kept(typing_context, bundle, factor):
    """Return the rows times a number, and 0 where they have a minus sign."""

    def generate(context, builder, signature, args):
        rows = []
        for row in rows_in(builder, bundle, args[0]):
            zero = constant(row.type, 0)
            negative = builder.fcmp_ordered("<", row, zero)  # NaN stays NaN
            row = builder.fmul(row, emit.splat(builder, args[1], row.type))
            rows.append(builder.select(negative, zero, row))
        return context.make_tuple(builder, bundle, rows)

    return bundle(bundle, factor), generate
