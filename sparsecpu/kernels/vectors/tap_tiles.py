"""Tiles of dot products between the lines of a group's filters and those that their taps read.

A tile is a bundle with a vector for each pair of a filter and a tap, filter by filter. Each vector
of a line that is read serves a whole row, or a whole column, of the tile.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from sparsecpu.kernels.vectors import llvm as emit


@intrinsic
def places_of_taps(typing_context, codes, bases, k, start, taps, pixel):
    """Return where as many taps as ``taps`` is long, from number k on, stand in a ring.

    ``kernels.conv.tap_sums`` says so of one.
    """
    kind = types.UniTuple(types.int64, taps.count)

    def generate(context, builder, signature, args):
        codes_, bases_, k_, start_ = args[:4]
        first, places = emit.address(context, builder, codes, codes_, k_), []
        for q in range(kind.count):
            code = builder.load(builder.gep(first, [ir.Constant(emit.I64, q)]))
            code = builder.sext(code, emit.I64)
            here = builder.add(start_, builder.ashr(code, ir.Constant(emit.I64, 24)))
            base = builder.load(emit.address(context, builder, bases, bases_, here))
            place = builder.and_(code, ir.Constant(emit.I64, (1 << 24) - 1))
            numbers = builder.mul(place, ir.Constant(emit.I64, pixel.lanes))
            places.append(builder.add(base, numbers))
        return context.make_tuple(builder, kind, places)

    return kind(codes, bases, types.int64, types.int64, taps, pixel), generate


@intrinsic
def add_products(typing_context, tile, x, places, offset, dy, here, stride):
    """Return a tile with the products of a vector of each line added.

    Tap c's line is in ``x`` from ``places[c] + offset`` on, filter r's in ``dy`` from ``here + r *
    stride`` on.
    """
    columns, vector = places.count, tile.dtype
    rows = tile.count // columns

    def generate(context, builder, signature, args):
        tile_, x_, places_, offset_, dy_, here_, stride_ = args
        kind = emit.llvm_vector(vector.dtype, vector.lanes)
        sums = [builder.extract_value(tile_, q) for q in range(tile.count)]
        across = []
        for c in range(columns):
            place = builder.add(builder.extract_value(places_, c), offset_)
            address = emit.address(context, builder, x, x_, emit.place(builder, x.dtype, place))
            if x.dtype == vector.dtype:
                across.append(emit.load(builder, address, kind))
            else:
                runs = emit.row(builder, x.dtype, address, vector.lanes)
                across.append(emit.concatenate(builder, runs))
        for r in range(rows):
            place = builder.add(here_, builder.mul(stride_, ir.Constant(emit.I64, r)))
            down = emit.load(builder, emit.address(context, builder, dy, dy_, place), kind)
            for c in range(columns):
                q = r * columns + c
                sums[q] = emit.fma(builder, sums[q], down, across[c])
        return context.make_tuple(builder, tile, sums)

    i64 = types.int64
    return tile(tile, x, places, i64, dy, i64, i64), generate


@intrinsic
def splat_tile(typing_context, weights, order, k, apart, stride, taps, tile):
    """Return a bundle like ``tile`` of weights, of row r and the c-th tap from number k on.

    These are ``weights[order[k + c] + apart + r * stride]``.
    """
    columns, vector = taps.count, tile.dtype

    def generate(context, builder, signature, args):
        weights_, order_, k_, apart_, stride_ = args[:5]
        kind, splats = emit.llvm_vector(vector.dtype, vector.lanes), []
        first, places = emit.address(context, builder, order, order_, k_), []
        for c in range(columns):
            number = builder.load(builder.gep(first, [ir.Constant(emit.I64, c)]))
            places.append(builder.add(builder.sext(number, emit.I64), apart_))
        for q in range(tile.count):
            r, c = divmod(q, columns)
            place = builder.add(places[c], builder.mul(stride_, ir.Constant(emit.I64, r)))
            number = builder.load(emit.address(context, builder, weights, weights_, place))
            splats.append(emit.splat(builder, number, kind))
        return context.make_tuple(builder, tile, splats)

    i64 = types.int64
    return tile(weights, order, i64, i64, i64, taps, tile), generate


@intrinsic
def add_and_scatter(typing_context, tile, weights, x, places, offset, beyond, dy, here, stride):
    """Do as ``add_products``, and add each filter's line times its weights to the taps' sums.

    These lie in ``x`` too, ``beyond`` numbers further than the taps.
    """
    columns, vector = places.count, tile.dtype
    rows = tile.count // columns

    def generate(context, builder, signature, args):
        tile_, weights_, x_, places_, offset_, beyond_, dy_, here_, stride_ = args
        kind = emit.llvm_vector(vector.dtype, vector.lanes)
        sums = [builder.extract_value(tile_, q) for q in range(tile.count)]
        across, targets = [], []
        for c in range(columns):
            place = builder.add(builder.extract_value(places_, c), offset_)
            across.append(emit.load(builder, emit.address(context, builder, x, x_, place), kind))
            target = emit.address(context, builder, x, x_, builder.add(place, beyond_))
            targets.append(target)
        added = [emit.load(builder, target, kind) for target in targets]
        for r in range(rows):
            place = builder.add(here_, builder.mul(stride_, ir.Constant(emit.I64, r)))
            down = emit.load(builder, emit.address(context, builder, dy, dy_, place), kind)
            for c in range(columns):
                q = r * columns + c
                sums[q] = emit.fma(builder, sums[q], down, across[c])
                weight = builder.extract_value(weights_, q)
                added[c] = emit.fma(builder, added[c], down, weight)
        for target, value in zip(targets, added, strict=True):
            emit.store(builder, target, value)
        return context.make_tuple(builder, tile, sums)

    i64 = types.int64
    return tile(tile, weights, x, places, i64, i64, dy, i64, i64), generate
