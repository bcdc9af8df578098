"""A group's strips, times the values of a tap, added to what lies in memory: part of a strip.

What is left of strips where a tap sees padding is never read; see ``kernels.conv.strip_cut``.
Lanes from ``begin`` on and before ``end`` are read, added to, and written.
"""

from __future__ import annotations

import math

from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from sparsecpu.kernels.vectors import llvm as emit
from sparsecpu.kernels.vectors.pairs import WORDS, add_products, registers


@intrinsic(prefer_literal=True)
def scatter_rows(typing_context, sums, place, weights, k, stride, rows, begin, end):
    """Add each row of a bundle times ``weights[k + r * stride]``, in order, at ``place``."""
    first, after, vector = begin.literal_value, end.literal_value, rows.dtype
    size = math.gcd(math.gcd(first, after), vector.lanes)

    def generate(context, builder, signature, args):
        sums_, place_, weights_, k_, stride_, rows_ = args[:6]
        kind, start = emit.llvm_vector(vector.dtype, size), range(first, after, size)
        here = emit.address(context, builder, sums, sums_, place_)
        there = [builder.gep(here, [ir.Constant(emit.I64, f)]) for f in start]
        found = [emit.load(builder, a, kind) for a in there]
        for r in range(rows.count):
            at = builder.add(k_, builder.mul(stride_, ir.Constant(emit.I64, r)))
            weight = builder.load(emit.address(context, builder, weights, weights_, at))
            weight, row = emit.splat(builder, weight, kind), builder.extract_value(rows_, r)
            for q, f in enumerate(start):
                part = emit.pick(builder, row, row, list(range(f, f + size)))
                found[q] = emit.fma(builder, found[q], weight, part)
        for a, value in zip(there, found, strict=True):
            emit.store(builder, a, value)
        return context.get_dummy_value()

    i64 = types.int64
    return types.void(sums, i64, weights, i64, i64, rows, begin, end), generate


@intrinsic(prefer_literal=True)
def scatter_row_pairs(typing_context, sums, place, weights, k, pairs, begin, end):
    """Add each of a bundle's words times ``weights[k + p]``, in order, at ``place``.

    Lanes are taken by whole registers.
    """
    used = range(begin.literal_value // WORDS, -(-end.literal_value // WORDS))

    def generate(context, builder, signature, args):
        sums_, place_, weights_, k_, pairs_ = args[:5]
        kind = emit.llvm_vector(types.float32, WORDS)
        here = emit.address(context, builder, sums, sums_, place_)
        there = [builder.gep(here, [ir.Constant(emit.I64, q * WORDS)]) for q in used]
        found = [emit.load(builder, a, kind) for a in there]
        start = emit.address(context, builder, weights, weights_, k_)
        for p in range(pairs.count):
            word = builder.load(builder.gep(start, [ir.Constant(emit.I64, p)]))
            factor = emit.splat(builder, word, ir.VectorType(emit.I32, WORDS))
            words = registers(builder, builder.extract_value(pairs_, p))
            found = [add_products(builder, v, words[q], factor)
                     for v, q in zip(found, used, strict=True)]  # fmt: skip
        for a, value in zip(there, found, strict=True):
            emit.store(builder, a, value)
        return context.get_dummy_value()

    i64 = types.int64
    return types.void(sums, i64, weights, i64, pairs, begin, end), generate
