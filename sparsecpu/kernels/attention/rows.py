"""Bundles of scores: a vector of some tokens for each of a few others, and what becomes of them.

Forward, lanes are queries and rows are keys; backward it is the other way round.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from sparsecpu.kernels.vectors import llvm as emit
from sparsecpu.kernels.vectors.dots import transposed
from sparsecpu.kernels.vectors.exponential import constant, magnitude, power_of_two_of


def rows_in(builder, bundle, value):
    """Return the rows of a bundle."""
    return [builder.extract_value(value, r) for r in range(bundle.count)]


def _splats(context, builder, array, value, first, bundle):
    """Return a number of an array for each row, in every lane."""
    start = emit.address(context, builder, array, value, first)
    kind = emit.llvm_vector(bundle.dtype.dtype, bundle.dtype.lanes)
    numbers = (
        builder.load(builder.gep(start, [ir.Constant(emit.I64, r)])) for r in range(bundle.count)
    )
    return [emit.splat(builder, number, kind) for number in numbers]


def _sees(builder, lanes, rows, order):
    """Return in which lanes a query is not before a key; ``order`` tells which are queries."""
    return builder.icmp_signed(">=" if order > 0 else "<=", lanes, rows)


@intrinsic(prefer_literal=True)
def visible(typing_context, bundle, owner, lane, row, order):
    """Return the rows with minus infinity where a query does not see a key.

    Lane l belongs to token number ``lane + l``, row r to token number ``row + r``. They see each
    other if they have the same owner, from 0 on, and the query is not before the key: ``order`` is
    1 where lanes are queries, -1 where rows are, and 0 where order does not matter.
    """
    lanes, order_ = bundle[0].lanes, order.literal_value

    def generate(context, builder, signature, args):
        bundle_, owner_, lane_, row_, _ = args
        integers = ir.VectorType(emit.I32, lanes)
        address = emit.address(context, builder, owner, owner_, lane_)
        of_lanes = builder.load(builder.bitcast(address, integers.as_pointer()))
        of_lanes.align = 4
        first = builder.trunc(builder.sub(row_, lane_), emit.I32)
        numbers = ir.Constant(integers, list(range(lanes)))
        start = emit.address(context, builder, owner, owner_, row_)
        rows = []
        for r, row in enumerate(rows_in(builder, bundle, bundle_)):
            here = builder.load(builder.gep(start, [ir.Constant(emit.I64, r)]))
            real = builder.icmp_signed(">=", here, ir.Constant(emit.I32, 0))
            here = builder.select(real, here, ir.Constant(emit.I32, -2))  # which no lane has
            seen = builder.icmp_signed("==", of_lanes, emit.splat(builder, here, integers))
            if order_:
                number = builder.add(first, ir.Constant(emit.I32, r))
                other = emit.splat(builder, number, integers)
                seen = builder.and_(seen, _sees(builder, numbers, other, order_))
            rows.append(builder.select(seen, row, constant(row.type, float("-inf"))))
        return context.make_tuple(builder, bundle, rows)

    i64 = types.int64
    return bundle(bundle, owner, i64, i64, order), generate


@intrinsic
def largest(typing_context, v, bundle):
    """Return the larger of v and all rows, lane by lane; what is NaN in a row does not count."""

    def generate(context, builder, signature, args):
        found = args[0]
        for row in rows_in(builder, bundle, args[1]):
            found = builder.select(builder.fcmp_ordered(">", row, found), row, found)
        return found

    return v(v, bundle), generate


@intrinsic
def power_of_difference(typing_context, u, v, factor):
    """Return ``2**(factor (u - v))`` where that is at most about 1; what is tiny is 0."""

    def generate(context, builder, signature, args):
        factor_ = emit.splat(builder, args[2], args[0].type)
        return power_of_two_of(builder, builder.fsub(args[0], args[1]), factor_)

    return u(u, v, factor), generate


@intrinsic
def weights_of(typing_context, bundle, factor, statistics, highest, inverse):
    """Return ``2**(factor (row - most)) * inverse`` of each row; what is tiny is 0.

    ``most`` and ``inverse`` are numbers of ``statistics``: row r has those r places behind the
    ones that are given.
    """

    def generate(context, builder, signature, args):
        bundle_, factor_, array, *places = args
        most, inverse = (
            _splats(context, builder, statistics, array, place, bundle) for place in places
        )
        rows = rows_in(builder, bundle, bundle_)
        factors = emit.splat(builder, factor_, rows[0].type)
        for r, row in enumerate(rows):
            power = power_of_two_of(builder, builder.fsub(row, most[r]), factors)
            rows[r] = builder.fmul(power, inverse[r])
        return context.make_tuple(builder, bundle, rows)

    i64 = types.int64
    return bundle(bundle, factor, statistics, i64, i64), generate


@intrinsic(prefer_literal=True)
def slopes_of(typing_context, bundle, weights, factor, means, first, drops):
    """Return ``weight * (factor row - mean)`` of each row, its weights and its mean.

    Where ``drops`` is 1, a weight with a minus sign was dropped, and with it ``factor row``.
    """
    may_drop = drops.literal_value

    def generate(context, builder, signature, args):
        bundle_, weights_, factor_, means_, first_, _ = args
        of_rows = _splats(context, builder, means, means_, first_, bundle)
        of_weights, rows = rows_in(builder, bundle, weights_), []
        for row, weight, mean in zip(
            rows_in(builder, bundle, bundle_), of_weights, of_rows, strict=True
        ):
            low = builder.fneg(mean)
            slope = emit.fma(builder, low, row, emit.splat(builder, factor_, row.type))
            if may_drop:
                negative = builder.fcmp_ordered("<", weight, constant(row.type, 0))
                slope = builder.select(negative, low, slope)
                weight = magnitude(builder, weight)
            rows.append(builder.fmul(weight, slope))
        return context.make_tuple(builder, bundle, rows)

    return bundle(bundle, weights, factor, means, types.int64, drops), generate


@intrinsic
def rescaled(typing_context, bundle, v):
    """Return each row times v."""

    def generate(context, builder, signature, args):
        rows = [builder.fmul(row, args[1]) for row in rows_in(builder, bundle, args[0])]
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
