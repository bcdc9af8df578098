"""Bundles and arrays that are known by their addresses only: see ``kernels.linear.group_dots``.

Of a ``tail``, a vector's first ``count`` lanes only are read; the others are 0.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from sparsecpu.kernels.vectors import llvm as emit


def _numbers(builder, address, vector):
    kind = ir.DoubleType() if vector.dtype == types.float64 else ir.FloatType()
    return builder.inttoptr(address, kind.as_pointer())


def _first(builder, lanes, count):
    """Return a mask of a vector's first ``count`` lanes."""
    kind = ir.VectorType(emit.I64, lanes)
    numbers = ir.Constant(kind, list(range(lanes)))
    return builder.icmp_signed("<", numbers, emit.splat(builder, count, kind))


def _masked(builder, place, mask, kind):
    """Read those lanes of a vector that a mask has."""
    element = "f64" if isinstance(kind.element, ir.DoubleType) else "f32"
    pointer, name = kind.as_pointer(), f"llvm.masked.load.v{kind.count}{element}.p0"
    function = ir.FunctionType(kind, [pointer, emit.I32, mask.type, kind])
    read = cgutils.get_or_insert_function(builder.module, function, name)
    zeros = ir.Constant(kind, [0.0] * kind.count)
    return builder.call(read, [builder.bitcast(place, pointer), emit.I32(4), mask, zeros])


def _rows(builder, bundle, first, stride):
    """Yield the number of each row, and where it starts."""
    for r in range(bundle.count):
        yield r, builder.add(first, builder.mul(stride, ir.Constant(emit.I64, r)))


@intrinsic(prefer_literal=True)
def gathered(typing_context, x, indices, k, v, tail, count):
    """Return a vector like ``v`` of ``x[indices[k]]``, ``x[indices[k + 1]]`` and so on."""
    masked = bool(tail.literal_value)

    def generate(context, builder, signature, args):
        x_, indices_, k_, _, _, count_ = args
        kind, numbers = emit.llvm_vector(v.dtype, v.lanes), _numbers(builder, x_, v)
        first = builder.gep(builder.inttoptr(indices_, emit.I32.as_pointer()), [k_])
        found = zeros = ir.Constant(kind, [0.0] * v.lanes)
        for lane in range(v.lanes):
            place = ir.Constant(emit.I64, lane)
            if masked:  # the first one again, which may be read
                inside = builder.icmp_signed("<", place, count_)
                place = builder.select(inside, place, ir.Constant(emit.I64, 0))
            j = builder.sext(builder.load(builder.gep(first, [place])), emit.I64)
            number = builder.load(builder.gep(numbers, [j]))
            found = builder.insert_element(found, number, ir.Constant(emit.I32, lane))
        return builder.select(_first(builder, v.lanes, count_), found, zeros) if masked else found

    i64 = types.int64
    return v(i64, i64, i64, v, tail, i64), generate


@intrinsic(prefer_literal=True)
def add_row_products(typing_context, bundle, data, k, stride, v, tail, count):
    """Return the bundle with the vector at ``data[k + r * stride]``, times v, added to row r."""
    masked = bool(tail.literal_value)

    def generate(context, builder, signature, args):
        bundle_, data_, k_, stride_, v_, _, count_ = args
        numbers, rows = _numbers(builder, data_, v), []
        mask = _first(builder, v.lanes, count_) if masked else None
        for r, here in _rows(builder, bundle, k_, stride_):
            place = builder.gep(numbers, [here])
            if masked:
                weights = _masked(builder, place, mask, v_.type)
            else:
                weights = emit.load(builder, place, v_.type)
            rows.append(emit.fma(builder, builder.extract_value(bundle_, r), weights, v_))
        return context.make_tuple(builder, bundle, rows)

    i64 = types.int64
    return bundle(bundle, i64, i64, i64, v, tail, i64), generate


@intrinsic
def totals(typing_context, bundle, single):
    """Return a bundle like ``single``, of one lane: the sum of each row's lanes."""

    def generate(context, builder, signature, args):
        rows = []
        for r in range(bundle.count):
            row = builder.extract_value(args[0], r)
            while row.type.count > 1:
                row = emit.halve(builder, row)
            rows.append(row)
        return context.make_tuple(builder, single, rows)

    return single(bundle, single), generate


@intrinsic
def rows_at(typing_context, array, i, bundle):
    """Read a bundle of one lane: ``array[i]`` and those behind it, one for each row."""

    def generate(context, builder, signature, args):
        numbers, rows = _numbers(builder, args[0], bundle.dtype), []
        kind = emit.llvm_vector(bundle.dtype.dtype, 1)
        for _, here in _rows(builder, bundle, args[1], ir.Constant(emit.I64, 1)):
            rows.append(emit.load(builder, builder.gep(numbers, [here]), kind))
        return context.make_tuple(builder, bundle, rows)

    return bundle(types.int64, types.int64, bundle), generate


@intrinsic
def write_rows_at(typing_context, array, i, bundle):
    """Write a bundle of one lane, as ``rows_at`` reads it."""

    def generate(context, builder, signature, args):
        numbers = _numbers(builder, args[0], bundle.dtype)
        for r, here in _rows(builder, bundle, args[1], ir.Constant(emit.I64, 1)):
            emit.store(builder, builder.gep(numbers, [here]), builder.extract_value(args[2], r))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, bundle), generate


@intrinsic
def bent_rows(typing_context, bundle, slope):
    """Return the bundle, negative numbers times ``slope``: NaN stays NaN, infinity times 0 is 0."""

    def generate(context, builder, signature, args):
        rows, kind = [], emit.llvm_vector(bundle.dtype.dtype, bundle.dtype.lanes)
        zero, slopes = ir.Constant(kind, [0.0] * kind.count), emit.splat(builder, args[1], kind)
        flat = builder.fcmp_ordered("==", slopes, zero)
        for r in range(bundle.count):
            row = builder.extract_value(args[0], r)
            below = builder.select(flat, zero, builder.fmul(row, slopes))
            rows.append(builder.select(builder.fcmp_ordered("<", row, zero), below, row))
        return context.make_tuple(builder, bundle, rows)

    return bundle(bundle, bundle.dtype.dtype), generate
