"""Bundles: as many vectors as a group has rows, handled together.

Rows of a group share their columns, so that one vector of x serves them all. A bundle is a tuple of
vectors, each of which stays in registers of its own.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from sparsecpu.kernels.vectors import llvm as emit
from sparsecpu.kernels.vectors.dots import merged


def _parts(builder, bundle, value):
    return [builder.extract_value(value, r) for r in range(bundle.count)]


def _offset(builder, first, stride, r):
    return builder.add(first, builder.mul(stride, ir.Constant(emit.I64, r)))


@intrinsic(prefer_literal=True)
def bundle_of(typing_context, v, rows):
    """Return a bundle with ``v`` in each of so many rows."""
    kind = types.UniTuple(v, rows.literal_value)

    def generate(context, builder, signature, args):
        return context.make_tuple(builder, kind, [args[0]] * kind.count)

    return kind(v, rows), generate


@intrinsic
def splat_rows(typing_context, array, first, bundle):
    """Return a bundle with ``array[first + r]`` in all lanes of row r."""
    vector = bundle.dtype

    def generate(context, builder, signature, args):
        start = emit.address(context, builder, array, args[0], args[1])
        kind, rows = emit.llvm_vector(vector.dtype, vector.lanes), []
        for r in range(bundle.count):
            number = builder.load(builder.gep(start, [ir.Constant(emit.I64, r)]))
            rows.append(emit.splat(builder, number, kind))
        return context.make_tuple(builder, bundle, rows)

    return bundle(array, types.int64, bundle), generate


@intrinsic
def load_rows(typing_context, array, offset, stride, bundle):
    """Read a bundle: row r starts at ``offset + r * stride``."""
    vector = bundle.dtype

    def generate(context, builder, signature, args):
        kind, rows = emit.llvm_vector(vector.dtype, vector.lanes), []
        for r in range(bundle.count):
            place = _offset(builder, args[1], args[2], r)
            rows.append(
                emit.load(builder, emit.address(context, builder, array, args[0], place), kind)
            )
        return context.make_tuple(builder, bundle, rows)

    return bundle(array, types.int64, types.int64, bundle), generate


@intrinsic
def store_rows(typing_context, array, offset, stride, bundle):
    """Write a bundle: row r goes to ``offset + r * stride``."""

    def generate(context, builder, signature, args):
        for r, row in enumerate(_parts(builder, bundle, args[3])):
            place = _offset(builder, args[1], args[2], r)
            emit.store(builder, emit.address(context, builder, array, args[0], place), row)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, bundle), generate


@intrinsic
def add_to_rows(typing_context, bundle, weights, k, stride, v):
    """Return the bundle with ``weights[k + r * stride] * v`` added to row r."""

    def generate(context, builder, signature, args):
        bundle_, weights_, k_, stride_, v_ = args
        rows = []
        for r, row in enumerate(_parts(builder, bundle, bundle_)):
            place = emit.address(
                context, builder, weights, weights_, _offset(builder, k_, stride_, r)
            )
            weight = emit.splat(builder, builder.load(place), v_.type)
            rows.append(emit.fma(builder, row, weight, v_))
        return context.make_tuple(builder, bundle, rows)

    return bundle(bundle, weights, types.int64, types.int64, v), generate


@intrinsic
def sum_of_rows(typing_context, v, weights, k, stride, bundle):
    """Return ``v`` with each row of the bundle times ``weights[k + r * stride]`` added in order."""

    def generate(context, builder, signature, args):
        v_, weights_, k_, stride_, bundle_ = args
        for r, row in enumerate(_parts(builder, bundle, bundle_)):
            place = emit.address(
                context, builder, weights, weights_, _offset(builder, k_, stride_, r)
            )
            weight = emit.splat(builder, builder.load(place), v_.type)
            v_ = emit.fma(builder, v_, weight, row)
        return v_

    return v(v, weights, types.int64, types.int64, bundle), generate


@intrinsic
def add_bundles(typing_context, a, b):
    """Return the sum of two bundles, row by row."""

    def generate(context, builder, signature, args):
        pairs = zip(_parts(builder, a, args[0]), _parts(builder, a, args[1]), strict=True)
        return context.make_tuple(
            builder, a, [builder.fadd(u, v, flags=emit.FLAGS) for u, v in pairs]
        )

    return a(a, b), generate


@intrinsic
def positive_rows(typing_context, bundle):
    """Return ``max(row, 0)`` of each row; NaN stays NaN."""

    def generate(context, builder, signature, args):
        rows = []
        for row in _parts(builder, bundle, args[0]):
            zero = ir.Constant(row.type, [0.0] * row.type.count)
            rows.append(builder.select(builder.fcmp_ordered("<", row, zero), zero, row))
        return context.make_tuple(builder, bundle, rows)

    return bundle(bundle), generate


@intrinsic(prefer_literal=True)
def add_dot_tile(typing_context, sums, x, x_base, indices, k, columns, dy, dy_first, lanes):
    """Return ``sums`` with the products of a group's rows of dy and of some rows of x added.

    Row ``indices[k + c]`` of x starts at ``x_base + indices[k + c] * lanes``, row r of dy at
    ``dy_first + r * lanes``. ``sums`` has a vector for each pair (r, c), row by row; the products
    of lanes that lie ``sums``' width apart are added up in it.
    """
    count, wide, width = columns.literal_value, lanes.literal_value, sums.dtype.lanes
    rows = sums.count // count

    def generate(context, builder, signature, args):
        sums_, x_, base_, indices_, k_, _, dy_, first_, _ = args
        kind = emit.llvm_vector(sums.dtype.dtype, width)
        found = _parts(builder, sums, sums_)
        start = emit.address(context, builder, indices, indices_, k_)
        read = []
        for c in range(count):
            index = builder.sext(
                builder.load(builder.gep(start, [ir.Constant(emit.I64, c)])), emit.I64
            )
            place = builder.add(builder.mul(index, ir.Constant(emit.I64, wide)), base_)
            read.append(emit.address(context, builder, x, x_, place))
        begin = emit.address(context, builder, dy, dy_, first_)
        for lane in range(0, wide, width):
            emit.barrier(builder)  # read all ahead, the rows would not fit the registers
            across = [
                emit.load(builder, builder.gep(a, [ir.Constant(emit.I64, lane)]), kind)
                for a in read
            ]
            for r in range(rows):
                place = builder.gep(begin, [ir.Constant(emit.I64, r * wide + lane)])
                dy_r = emit.load(builder, place, kind)
                for c in range(count):
                    q = r * count + c
                    found[q] = emit.fma(builder, found[q], dy_r, across[c])
        return context.make_tuple(builder, sums, found)

    i64 = types.int64
    return sums(sums, x, i64, indices, i64, columns, dy, i64, lanes), generate


@intrinsic(prefer_literal=True)
def store_dot_tile(typing_context, dw, k, stride, columns, sums, onto):
    """Sum each vector of ``sums`` over its lanes, and write row r's from ``k + r * stride`` on.

    Where ``onto``, they are added to what is there.
    """
    count = columns.literal_value
    rows, element = sums.count // count, sums.dtype.dtype

    def generate(context, builder, signature, args):
        dw_, k_, stride_, _, sums_, onto_ = args
        totals = merged(builder, _parts(builder, sums, sums_))
        kind = emit.llvm_vector(element, count)
        for r in range(rows):
            lanes = [r * count + c for c in range(count)]
            at, part = lanes[0] // totals[0].type.count, None
            if lanes[-1] // totals[0].type.count == at:
                shift = at * totals[0].type.count
                part = emit.pick(builder, totals[at], totals[at], [n - shift for n in lanes])
            else:  # a row of sums is as long as two vectors, or more
                held = lanes[-1] // totals[0].type.count + 1
                part = emit.concatenate(builder, totals[at:held])
            place = emit.address(context, builder, dw, dw_, _offset(builder, k_, stride_, r))
            old = emit.load(builder, place, kind)
            added = builder.fadd(old, part, flags=emit.FLAGS)
            emit.store(builder, place, builder.select(onto_, added, part))
        return context.get_dummy_value()

    i64 = types.int64
    return types.void(dw, i64, i64, columns, sums, types.boolean), generate
