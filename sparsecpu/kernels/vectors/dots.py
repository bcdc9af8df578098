"""Many dot products at once, and the transposition that they and tiling share.

A dot product ends with a sum over the lanes of a vector. Done one by one, these sums cost as much
as the products. ``_merge`` makes them for many vectors at once, as one transposes: it adds the
lanes of two vectors so that each result keeps half of the lanes of each. For the four vectors a, b,
c and d, merged in two levels::

    a0 a1 a2 a3 --+
                  +-- a0+a1 b0+b1 a2+a3 b2+b3 --+
    b0 b1 b2 b3 --+                             |
                                                +-- sum(a) sum(b) sum(c) sum(d)
    c0 c1 c2 c3 --+                             |
                  +-- c0+c1 d0+d1 c2+c3 d2+d3 --+
    d0 d1 d2 d3 --+

n sums take n - 1 merges of a shuffle or two and an addition each.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from sparsecpu.kernels.vectors import llvm as emit


def plain_merge(a: np.ndarray, b: np.ndarray, level: int) -> np.ndarray:
    """Return sums of neighbouring runs of ``2**level`` lanes, those of a and of b in turn."""
    left_of_a, right_of_a = a.reshape(-1, 2, 2**level).swapaxes(0, 1)
    left_of_b, right_of_b = b.reshape(-1, 2, 2**level).swapaxes(0, 1)
    return np.stack([left_of_a + right_of_a, left_of_b + right_of_b], axis=1).ravel()


def plain_sums(vectors: list[np.ndarray]) -> np.ndarray:
    """Return the sum of each vector, there being as many as they have lanes: a power of two."""
    level = 0
    while len(vectors) > 1:
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors, level = [plain_merge(a, b, level) for a, b in pairs], level + 1
    return vectors[0]


def _exchange(builder, a, b, level):
    """Swap every second run of ``2**level`` lanes of ``a`` with the run before it in ``b``."""
    count, step = a.type.count, 1 << level
    first = [i if not (i >> level) & 1 else count + i - step for i in range(count)]
    second = [i + step if not (i >> level) & 1 else count + i for i in range(count)]
    return emit.pick(builder, a, b, first), emit.pick(builder, a, b, second)


def transposed(builder, grid):
    """Return as many vectors as they have lanes, a power of two, transposed."""
    grid = list(grid)
    for level in range(len(grid).bit_length() - 1):
        step = 1 << level  # after this level, runs of 2 * step lanes are where they belong
        for q in range(len(grid)):
            if not q & step:
                grid[q], grid[q + step] = _exchange(builder, grid[q], grid[q + step], level)
    return grid


def _merge(builder, a, b, level):
    """Do as ``plain_merge``."""
    return builder.fadd(*_exchange(builder, a, b, level), flags=emit.FLAGS)


def merged(builder, vectors):
    """Return the sums of vectors over their lanes, in order: as many vectors as that takes.

    There are as many vectors as a power of two. If these are fewer than the lanes, the result is
    one vector of so many sums.
    """
    count, lanes, level = len(vectors), vectors[0].type.count, 0
    while len(vectors) > 1 and 1 << level < lanes:
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors, level = [_merge(builder, a, b, level) for a, b in pairs], level + 1
    while vectors[0].type.count > count:
        vectors = [emit.halve(builder, vectors[0])]
    return vectors


def _to_float(builder, value, dtype, vector_type):
    """Convert a vector of ``dtype``'s numbers (floats or unsigned integers)."""
    if isinstance(dtype, types.Integer):
        return builder.uitofp(value, vector_type)
    if dtype.bitwidth < 64 and isinstance(vector_type.element, ir.DoubleType):
        return builder.fpext(value, vector_type)
    if dtype.bitwidth == 64 and isinstance(vector_type.element, ir.FloatType):
        return builder.fptrunc(value, vector_type)
    return value


@intrinsic
def transpose(typing_context, x, rows, sample, feature, offset, scale, out, place):
    """Write 16 features of 16 samples of ``x``, transposed, as ``(x - offset) * scale``.

    Sample q is row ``rows[sample + q]``; ``offset`` and ``scale`` are vectors of 16; feature i goes
    to ``out`` from ``place + i * lanes`` on, ``lanes`` being the last axis of ``out``.
    """

    def generate(context, builder, signature, args):
        x_, rows_, sample_, feature_, offset_, scale_, out_, place_ = args
        kind, wide = x.dtype, emit.llvm_vector(out.dtype, emit.FOLD)
        raw = ir.VectorType(context.get_data_type(kind), emit.FOLD)
        shape = context.make_array(x)(context, builder, x_).shape
        features = builder.extract_value(shape, 1)
        lanes = builder.extract_value(context.make_array(out)(context, builder, out_).shape, 2)
        first = emit.address(context, builder, rows, rows_, sample_)
        grid = []
        for q in range(emit.FOLD):
            row = builder.load(builder.gep(first, [ir.Constant(emit.I64, q)]))
            begin = builder.add(builder.mul(row, features), feature_)
            address = emit.address(context, builder, x, x_, begin)
            value = builder.load(builder.bitcast(address, raw.as_pointer()))
            value.align = 1 if isinstance(kind, types.Integer) else 4
            value = _to_float(builder, value, kind, wide)
            grid.append(builder.fmul(builder.fsub(value, offset_), scale_))
        for q, value in enumerate(transposed(builder, grid)):
            here = builder.add(place_, builder.mul(lanes, ir.Constant(emit.I64, q)))
            emit.store(builder, emit.address(context, builder, out, out_, here), value)
        return context.get_dummy_value()

    signature = types.void(x, rows, types.int64, types.int64, offset, scale, out, types.int64)
    return signature, generate


def _folds(builder, value):
    """Return a vector's runs of ``FOLD`` lanes."""
    count = value.type.count
    return [
        emit.pick(builder, value, value, list(range(f, min(f + emit.FOLD, count))))
        for f in range(0, count, emit.FOLD)
    ]


def _row(builder, dtype, address, like):
    """Return a row of numbers, as wide as the Numba vector ``like``, in runs of ``FOLD`` lanes."""
    if dtype != like.dtype:
        return emit.row(builder, dtype, address, like.lanes)
    fold = emit.llvm_vector(like.dtype, emit.FOLD)
    firsts = range(0, like.lanes, emit.FOLD)
    places = [builder.gep(address, [ir.Constant(emit.I64, f)]) for f in firsts]
    return [emit.load(builder, place, fold) for place in places]


def _product(builder, row, parts, size):
    """Return the product of two rows, in runs, added up to a vector of at most ``size`` lanes."""
    folded = builder.fmul(row[0], parts[0], flags=emit.FLAGS)
    for here, part in zip(row[1:], parts[1:], strict=True):
        folded = emit.fma(builder, folded, here, part)
    while folded.type.count > size:
        folded = emit.halve(builder, folded)
    return folded


def _dot_products(context, builder, dtype, rows, dy_, dy, size, weights=None, sums=None):
    """Return the dot products of rows at these addresses with ``dy``, as one vector.

    With ``weights``, each row times its weight is also added to ``sums``, a list of folds: a row
    that is in registers serves both.
    """
    parts = _folds(builder, dy_)
    stack = []  # (level, partial sums); equal levels merge as soon as they meet
    for q, address in enumerate(rows):
        if weights is not None:
            emit.barrier(builder)  # read all ahead, the rows would not fit the registers
        row = _row(builder, dtype, address, dy)
        if weights is not None:
            weight = emit.splat(builder, weights[q], row[0].type)
            sums[:] = [emit.fma(builder, y, weight, x) for y, x in zip(sums, row, strict=True)]
        stack.append((0, _product(builder, row, parts, size)))
        while len(stack) > 1 and stack[-1][0] == stack[-2][0]:
            level, b = stack.pop()
            stack.append((level + 1, _merge(builder, stack.pop()[1], b, level)))
    return stack[0][1]


@intrinsic(prefer_literal=True)
def dots(typing_context, x, indices, k, base, dy, group):
    """Return ``group`` dot products of rows of ``x`` with ``dy``, as one vector.

    Lane q is ``sum(x[base + indices[k + q] * lanes + l] * dy[l] for l in range(lanes))``.
    """
    size = group.literal_value
    result = emit.Vector(dy.dtype, size)

    def generate(context, builder, signature, args):
        x_, indices_, k_, base_, dy_ = args[:5]
        first = emit.address(context, builder, indices, indices_, k_)

        def rows():
            for q in range(size):
                index = builder.load(builder.gep(first, [ir.Constant(emit.I64, q)]))
                if indices.dtype.bitwidth < 64:
                    index = builder.sext(index, emit.I64)
                offset = builder.add(builder.mul(index, ir.Constant(emit.I64, dy.lanes)), base_)
                yield emit.address(context, builder, x, x_, emit.place(builder, x.dtype, offset))

        return _dot_products(context, builder, x.dtype, rows(), dy_, dy, size)

    signature = result(x, indices, types.int64, types.int64, dy, group)
    return signature, generate


def _tap_rows(context, builder, kinds, args, size, wide):
    """Yield the addresses of ``size`` taps from number k on."""
    ring, codes, bases = kinds
    ring_, codes_, bases_, k_, start_ = args
    first = emit.address(context, builder, codes, codes_, k_)
    for q in range(size):
        code = builder.load(builder.gep(first, [ir.Constant(emit.I64, q)]))
        code = builder.sext(code, emit.I64)
        here = builder.add(start_, builder.ashr(code, ir.Constant(emit.I64, 24)))
        base = builder.load(emit.address(context, builder, bases, bases_, here))
        place = builder.and_(code, ir.Constant(emit.I64, (1 << 24) - 1))
        offset = builder.add(base, builder.mul(place, ir.Constant(emit.I64, wide)))
        yield emit.address(context, builder, ring, ring_, emit.place(builder, ring.dtype, offset))


@intrinsic(prefer_literal=True)
def dot_taps(typing_context, ring, codes, bases, k, start, dy, pixel, group):
    """Return ``group`` dot products of taps with ``dy``, as one vector.

    Tap q stands in ``ring`` from ``bases[start + (code >> 24)] + (code & 0xffffff) * lanes`` on,
    where ``code = codes[k + q]`` and ``pixel`` is a vector of so many lanes.
    """
    size, wide = group.literal_value, pixel.lanes
    result = emit.Vector(dy.dtype, size)

    def generate(context, builder, signature, args):
        rows = _tap_rows(context, builder, (ring, codes, bases), args[:5], size, wide)
        return _dot_products(context, builder, ring.dtype, rows, args[5], dy, size)

    signature = result(ring, codes, bases, types.int64, types.int64, dy, pixel, group)
    return signature, generate


@intrinsic(prefer_literal=True)
def dot_and_add_taps(typing_context, ring, codes, bases, weights, k, start, x, sums, pixel, group):
    """Return ``dot_taps(..., x, ...)`` and ``sums`` with each tap times its weight added."""
    size, wide = group.literal_value, pixel.lanes
    result = types.Tuple((emit.Vector(x.dtype, size), sums))

    def generate(context, builder, signature, args):
        ring_, codes_, bases_, weights_, k_, start_, x_, sums_ = args[:8]
        first = emit.address(context, builder, weights, weights_, k_)
        places = [builder.gep(first, [ir.Constant(emit.I64, q)]) for q in range(size)]
        taps = ring_, codes_, bases_, k_, start_
        rows = _tap_rows(context, builder, (ring, codes, bases), taps, size, wide)
        added = _folds(builder, sums_)
        found = _dot_products(
            context, builder, ring.dtype, rows, x_, x, size,
            [builder.load(place) for place in places], added,
        )  # fmt: skip
        return context.make_tuple(builder, result, [found, emit.concatenate(builder, added)])

    kinds = types.int64, types.int64, x, sums, pixel, group
    return result(ring, codes, bases, weights, *kinds), generate
