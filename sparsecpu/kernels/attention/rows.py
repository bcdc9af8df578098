"""Bundles of scores: a vector of queries for each of a few keys, and what becomes of them."""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from sparsecpu.kernels.vectors import llvm as emit
from sparsecpu.kernels.vectors.dots import transposed
from sparsecpu.kernels.vectors.exponential import constant, exp_of_negative


def _rows(builder, bundle, value):
    return [builder.extract_value(value, r) for r in range(bundle.count)]


@intrinsic
def scaled(typing_context, bundle, scale):
    """Return the rows times a number."""

    def generate(context, builder, signature, args):
        factor = emit.splat(builder, args[1], emit.llvm_vector(bundle.dtype.dtype, bundle[0].lanes))
        rows = [builder.fmul(row, factor) for row in _rows(builder, bundle, args[0])]
        return context.make_tuple(builder, bundle, rows)

    return bundle(bundle, scale), generate


@intrinsic(prefer_literal=True)
def visible(typing_context, bundle, owner, query, key, causal):
    """Return the rows with minus infinity where a query does not see a key.

    Lane l belongs to query number ``query + l``, row r to key number ``key + r``. They see each
    other if they have the same owner, from 0 on, and, where ``causal`` is 1, the query is not
    before the key.
    """
    lanes, later = bundle[0].lanes, causal.literal_value

    def generate(context, builder, signature, args):
        bundle_, owner_, query_, key_, _ = args
        integers = ir.VectorType(emit.I32, lanes)
        of_queries = builder.load(
            builder.bitcast(
                emit.address(context, builder, owner, owner_, query_), integers.as_pointer()
            )
        )
        of_queries.align = 4
        first = builder.trunc(builder.sub(key_, query_), emit.I32)
        numbers = ir.Constant(integers, list(range(lanes)))
        start = emit.address(context, builder, owner, owner_, key_)
        rows = []
        for r, row in enumerate(_rows(builder, bundle, bundle_)):
            here = builder.load(builder.gep(start, [ir.Constant(emit.I64, r)]))
            real = builder.icmp_signed(">=", here, ir.Constant(emit.I32, 0))
            here = builder.select(real, here, ir.Constant(emit.I32, -2))  # which no query has
            seen = builder.icmp_signed("==", of_queries, emit.splat(builder, here, integers))
            if later:
                lane = builder.add(first, ir.Constant(emit.I32, r))
                after = builder.icmp_signed(">=", numbers, emit.splat(builder, lane, integers))
                seen = builder.and_(seen, after)
            rows.append(builder.select(seen, row, constant(row.type, float("-inf"))))
        return context.make_tuple(builder, bundle, rows)

    i64 = types.int64
    return bundle(bundle, owner, i64, i64, causal), generate


@intrinsic
def largest(typing_context, v, bundle):
    """Return the larger of v and all rows, lane by lane; what is NaN in a row does not count."""

    def generate(context, builder, signature, args):
        found = args[0]
        for row in _rows(builder, bundle, args[1]):
            found = builder.select(builder.fcmp_ordered(">", row, found), row, found)
        return found

    return v(v, bundle), generate


@intrinsic
def exp_of_difference(typing_context, u, v):
    """Return ``exp(u - v)`` where v >= u; what is tiny is 0."""

    def generate(context, builder, signature, args):
        return exp_of_negative(builder, builder.fsub(*args))

    return u(u, v), generate


@intrinsic
def weights_of(typing_context, bundle, most, inverse):
    """Return ``exp(row - most) * inverse`` of each row; what is tiny is 0."""

    def generate(context, builder, signature, args):
        rows = [
            builder.fmul(exp_of_negative(builder, builder.fsub(row, args[1])), args[2])
            for row in _rows(builder, bundle, args[0])
        ]
        return context.make_tuple(builder, bundle, rows)

    return bundle(bundle, most, inverse), generate


@intrinsic
def slopes_of(typing_context, bundle, weights, mean, scale):
    """Return ``weight * (row - mean) * scale`` of each row and its row of weights."""

    def generate(context, builder, signature, args):
        factor = emit.splat(builder, args[3], args[2].type)
        pairs = zip(*(_rows(builder, bundle, value) for value in args[:2]), strict=True)
        rows = [
            builder.fmul(weight, builder.fmul(builder.fsub(row, args[2]), factor))
            for row, weight in pairs
        ]
        return context.make_tuple(builder, bundle, rows)

    return bundle(bundle, weights, mean, scale), generate


@intrinsic
def rescaled(typing_context, bundle, v):
    """Return each row times v."""

    def generate(context, builder, signature, args):
        rows = [builder.fmul(row, args[1]) for row in _rows(builder, bundle, args[0])]
        return context.make_tuple(builder, bundle, rows)

    return bundle(bundle, v), generate


@intrinsic
def inverse_or_zero(typing_context, v):
    """Return ``1 / v``, and 0 where v is 0; NaN stays NaN."""

    def generate(context, builder, signature, args):
        one, zero = constant(args[0].type, 1), constant(args[0].type, 0)
        none = builder.fcmp_ordered("==", args[0], zero)
        return builder.select(none, zero, builder.fdiv(one, args[0]))

    return v(v), generate


@intrinsic
def transpose_square(typing_context, square, offset, out, place, v):
    """Write a square of numbers, as wide as ``v``, transposed; rows follow each other in both."""
    wide = v.lanes
    side = min(wide, emit.FOLD)

    def generate(context, builder, signature, args):
        square_, offset_, out_, place_, _ = args
        kind = emit.llvm_vector(v.dtype, side)

        def here(array, value, start, i, j):
            place = builder.add(start, ir.Constant(emit.I64, i * wide + j))
            return emit.address(context, builder, array, value, place)

        for i in range(0, wide, side):
            for j in range(0, wide, side):
                emit.barrier(builder)  # read all ahead, they would not fit the registers
                part = [
                    emit.load(builder, here(square, square_, offset_, i + r, j), kind)
                    for r in range(side)
                ]
                for r, row in enumerate(transposed(builder, part)):
                    emit.store(builder, here(out, out_, place_, j + r, i), row)
        return context.get_dummy_value()

    i64 = types.int64
    return types.void(square, i64, out, i64, v), generate
