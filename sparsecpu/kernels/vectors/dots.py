"""Many dot products at once, and the transposition that they and tiling share."""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from sparsecpu.kernels.vectors import llvm as emit


def _exchange(builder, a, b, level):
    """Swap every second run of ``2**level`` lanes of ``a`` with the run before it in ``b``."""
    count, step = a.type.count, 1 << level
    first = [i if not (i >> level) & 1 else count + i - step for i in range(count)]
    second = [i + step if not (i >> level) & 1 else count + i for i in range(count)]
    return emit.pick(builder, a, b, first), emit.pick(builder, a, b, second)


def _merge(builder, a, b, level):
    """Add pairs of lanes of ``a`` and ``b`` so that each result keeps half of the lanes of each.

    After ``log2(group)`` levels lane k holds the sum of the k-th vector: a transpose and a sum in
    one, with ``group - 1`` merges for ``group`` horizontal sums.
    """
    return builder.fadd(*_exchange(builder, a, b, level), flags=emit.FLAGS)


def _to_float(builder, value, source, vector_type):
    """Convert a vector of ``source``'s numbers (floats or unsigned integers)."""
    if isinstance(source, types.Integer):
        return builder.uitofp(value, vector_type)
    if source.bitwidth < 64 and isinstance(vector_type.element, ir.DoubleType):
        return builder.fpext(value, vector_type)
    if source.bitwidth == 64 and isinstance(vector_type.element, ir.FloatType):
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
        source, wide = x.dtype, emit.llvm_vector(out.dtype, emit.FOLD)
        raw = ir.VectorType(context.get_data_type(source), emit.FOLD)
        shape = context.make_array(x)(context, builder, x_).shape
        features = builder.extract_value(shape, 1)
        lanes = builder.extract_value(context.make_array(out)(context, builder, out_).shape, 2)
        first = emit.address(context, builder, rows, rows_, sample_)
        block = []
        for q in range(emit.FOLD):
            row = builder.load(builder.gep(first, [ir.Constant(emit.I64, q)]))
            begin = builder.add(builder.mul(row, features), feature_)
            address = emit.address(context, builder, x, x_, begin)
            value = builder.load(builder.bitcast(address, raw.as_pointer()))
            value.align = 1 if isinstance(source, types.Integer) else 4
            value = _to_float(builder, value, source, wide)
            block.append(builder.fmul(builder.fsub(value, offset_), scale_))
        for level in range(4):  # after level l, runs of 2**(l+1) lanes are where they belong
            step = 1 << level
            for q in range(emit.FOLD):
                if not q & step:
                    block[q], block[q + step] = _exchange(builder, block[q], block[q + step], level)
        for q, value in enumerate(block):
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


def _dot_products(context, builder, dtype, rows, dy_, dy, size, weights=None, sums=None):
    """Return the dot products of rows at these addresses with ``dy``, as one vector.

    With ``weights``, each row times its weight is also added to ``sums``, a list of folds: a row
    that is in registers serves both.
    """
    fold_type = emit.llvm_vector(dy.dtype, emit.FOLD)
    parts = _folds(builder, dy_)
    stack = []  # (level, partial sums); equal levels merge as soon as they meet
    for q, row in enumerate(rows):
        if weights is not None:
            emit.barrier(builder)  # read all ahead, the rows would not fit the registers
        if dtype == dy.dtype:
            places = [
                builder.gep(row, [ir.Constant(emit.I64, f)]) for f in range(0, dy.lanes, emit.FOLD)
            ]
            numbers = [emit.load(builder, place, fold_type) for place in places]
        else:
            numbers = emit.row(builder, dtype, row, dy.lanes)
        if weights is not None:
            weight = emit.splat(builder, weights[q], numbers[0].type)
        folded = None
        for n, (here, part) in enumerate(zip(numbers, parts, strict=True)):
            if weights is not None:
                sums[n] = emit.fma(builder, sums[n], weight, here)
            if folded is None:
                folded = builder.fmul(here, part, flags=emit.FLAGS)
            else:
                folded = emit.fma(builder, folded, here, part)
        while folded.type.count > size:
            folded = emit.halve(builder, folded)
        stack.append((0, folded))
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
    """Yield the addresses of ``size`` taps: see ``dot_taps``."""
    ring, codes, bases = kinds
    ring_, codes_, bases_, k_, slots_ = args
    first = emit.address(context, builder, codes, codes_, k_)
    for q in range(size):
        code = builder.load(builder.gep(first, [ir.Constant(emit.I64, q)]))
        code = builder.sext(code, emit.I64)
        slot = builder.add(slots_, builder.ashr(code, ir.Constant(emit.I64, 24)))
        base = builder.load(emit.address(context, builder, bases, bases_, slot))
        place = builder.and_(code, ir.Constant(emit.I64, (1 << 24) - 1))
        offset = builder.add(base, builder.mul(place, ir.Constant(emit.I64, wide)))
        yield emit.address(context, builder, ring, ring_, emit.place(builder, ring.dtype, offset))


@intrinsic(prefer_literal=True)
def dot_taps(typing_context, ring, codes, bases, k, slots, dy, pixel, group):
    """Return ``group`` dot products of taps with ``dy``, as one vector.

    Tap q stands in ``ring`` from ``bases[slots + (code >> 24)] + (code & 0xffffff) * lanes`` on,
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
def dot_and_add_taps(typing_context, ring, codes, bases, weights, k, slots, x, sums, pixel, group):
    """Return ``dot_taps(..., x, ...)`` and ``sums`` with each tap times its weight added."""
    size, wide = group.literal_value, pixel.lanes
    result = types.Tuple((emit.Vector(x.dtype, size), sums))

    def generate(context, builder, signature, args):
        ring_, codes_, bases_, weights_, k_, slots_, x_, sums_ = args[:8]
        first = emit.address(context, builder, weights, weights_, k_)
        places = [builder.gep(first, [ir.Constant(emit.I64, q)]) for q in range(size)]
        taps = ring_, codes_, bases_, k_, slots_
        rows = _tap_rows(context, builder, (ring, codes, bases), taps, size, wide)
        added = _folds(builder, sums_)
        found = _dot_products(
            context, builder, ring.dtype, rows, x_, x, size,
            [builder.load(place) for place in places], added,
        )  # fmt: skip
        return context.make_tuple(builder, result, [found, emit.concatenate(builder, added)])

    kinds = types.int64, types.int64, x, sums, pixel, group
    return result(ring, codes, bases, weights, *kinds), generate
