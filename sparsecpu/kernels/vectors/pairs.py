"""Products of bf16 numbers two by two: what is rounded, how, and where it stands.

``vdpbf16ps``, of AVX512-BF16, multiplies 16 pairs of bf16 numbers with 16 others and adds both
products of each to a float32 sum. The rules of all kernels that use it:

* Factors are rounded from float32 to bf16, 8 significant bits and the range of float32, to nearest,
  ties to even. NaN stays NaN, and infinities stay. What is subnormal becomes 0 with its sign, for
  the instruction would read it as 0.
* A product of two such numbers has 16 significant bits, so that none is rounded. Sums are float32,
  rounded to nearest, ties to even, at each addition: of a pair, the second product is added first.
  What would be subnormal, product or sum, becomes 0.
* What is written (y, dx, dW, db) is float32, never rounded to bf16.

``plain_bf16`` is the first rule. A row of x is kept *woven*: of each run of 32 lanes, lanes 0 to 3
come first, then 16 to 19, 4 to 7, 20 to 23, and so on. One instruction that interleaves the lower
or upper halves of two such rows, 128 bits by 128 bits, then gives pairs in order of lanes, 0 to 15
or 16 to 31.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from sparsecpu.kernels.vectors import llvm as emit

I16 = ir.IntType(16)
#: Words, or sums, of a register.
WORDS = 16
#: Lanes that are woven together.
RUN = 32
_WOVEN = [16 * half + 4 * part + q for part in range(4) for half in range(2) for q in range(4)]


class _Bfloat(ir.types.Type):
    """LLVM's type of bf16 numbers, which llvmlite does not have."""

    def _to_string(self):
        return "bfloat"

    def __eq__(self, other):
        return isinstance(other, _Bfloat)

    def __hash__(self):
        return hash(_Bfloat)


def plain_bf16(x: np.ndarray) -> np.ndarray:
    """Return numbers as the products see them: rounded to bf16, as float32."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    size, sign = bits & 0x7FFFFFFF, bits & 0x80000000
    nearest = bits + 0x7FFF + (bits >> 16 & 1) & 0xFFFF0000
    nearest = np.where(size < 0x00800000, sign, nearest)
    nearest = np.where(size > 0x7F800000, bits & 0xFFFF0000 | 0x00400000, nearest)
    return nearest.astype(np.uint32).view(np.float32)


def plain_woven(x: np.ndarray) -> np.ndarray:
    """Return rows of lanes in woven order."""
    return x.reshape(*x.shape[:-1], -1, RUN)[..., _WOVEN].reshape(x.shape)


def rounded(builder, v):
    """Return the bits of a vector of float32 rounded to bf16, as 16-bit integers."""
    narrow = builder.fptrunc(v, ir.VectorType(_Bfloat(), v.type.count))
    return builder.bitcast(narrow, ir.VectorType(I16, v.type.count))


def words_of(builder, low, high):
    """Return pairs of two vectors of float32 as vectors of 32-bit words."""
    words = ir.VectorType(emit.I32, low.type.count)
    low, high = (builder.zext(rounded(builder, v), words) for v in (low, high))
    return builder.or_(low, builder.shl(high, ir.Constant(words, [16] * words.count)))


def add_products(builder, sums, a, b):
    """Return ``sums`` of float32 with the products of two vectors of words added."""
    floats, pairs = sums.type, ir.VectorType(_Bfloat(), 2 * WORDS)
    kind = ir.FunctionType(floats, [floats, pairs, pairs])
    name = "llvm.x86.avx512bf16.dpbf16ps.512"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [sums, builder.bitcast(a, pairs), builder.bitcast(b, pairs)])


def registers(builder, v):
    """Return a vector's runs of ``WORDS`` lanes."""
    first = range(0, v.type.count, WORDS)
    return [emit.pick(builder, v, v, list(range(f, f + WORDS))) for f in first]


def _load_aligned_to(builder, place, kind, align):
    value = builder.load(builder.bitcast(place, kind.as_pointer()))
    value.align = align
    return value


def load_run(builder, start, first):
    """Read a run of 32 woven numbers."""
    place = builder.gep(start, [ir.Constant(emit.I64, first)])
    return _load_aligned_to(builder, place, ir.VectorType(I16, RUN), 4)


def column_pairs(builder, first, second, lanes):
    """Yield pairs of two woven rows, as words of 16 lanes each, with their numbers.

    With None for ``second``, its numbers are 0.
    """
    for run in range(0, lanes, RUN):
        a = load_run(builder, first, run)
        b = load_run(builder, second, run) if second else ir.Constant(a.type, [0] * RUN)
        for half in range(2):
            places = [8 * part + 4 * half + q for part in range(4) for q in range(4)]
            both = emit.pick(builder, a, b, [n for at in places for n in (at, RUN + at)])
            yield run // WORDS + half, builder.bitcast(both, ir.VectorType(emit.I32, WORDS))


def woven_row(builder, start, first):
    """Read 32 numbers of float32, rounded and woven."""
    kind = emit.llvm_vector(types.float32, WORDS)
    places = (builder.gep(start, [ir.Constant(emit.I64, first + n)]) for n in (0, WORDS))
    halves = [rounded(builder, emit.load(builder, place, kind)) for place in places]
    return emit.pick(builder, *halves, _WOVEN)


@intrinsic(prefer_literal=True)
def store_woven(typing_context, out, offset, x, place):
    """Write the 32 float32 numbers at ``place`` of x, rounded and woven, at ``offset`` of out."""

    def generate(context, builder, signature, args):
        out_, offset_, x_, place_ = args
        woven = woven_row(builder, emit.address(context, builder, x, x_, place_), 0)
        emit.store(builder, emit.address(context, builder, out, out_, offset_), woven)
        return context.get_dummy_value()

    return types.void(out, types.int64, x, types.int64), generate


@intrinsic
def store_rounded(typing_context, out, offset, v):
    """Write a vector of float32, rounded, at ``offset``, in order."""

    def generate(context, builder, signature, args):
        bits = rounded(builder, args[2])
        place = emit.address(context, builder, out, args[0], args[1])
        builder.store(bits, builder.bitcast(place, bits.type.as_pointer())).align = 2
        return context.get_dummy_value()

    return types.void(out, types.int64, v), generate


def row_factors(context, builder, weights, args, count, single):
    """Return the pair of weights of each row, in all words of a register; see below.

    ``args`` are the array, the place in it and how far rows are apart. With ``single``, the second
    of each pair is 0.
    """
    weights_, k_, stride_ = args
    factors = []
    for r in range(count):
        place = builder.add(k_, builder.mul(stride_, ir.Constant(emit.I64, r)))
        place = emit.address(context, builder, weights, weights_, place)
        if single:
            word = builder.zext(_load_aligned_to(builder, place, I16, 2), emit.I32)
        else:
            word = _load_aligned_to(builder, place, emit.I32, 2)
        factors.append(emit.splat(builder, word, ir.VectorType(emit.I32, WORDS)))
    return factors


@intrinsic
def add_column_pair(typing_context, sums, weights, k, stride, x, first, second):
    """Return the bundle ``sums`` with the products of two shared columns added.

    Row r's weights are ``weights[k + r * stride]`` and the one behind it; the woven rows of x start
    at ``first`` and ``second``. With None for ``second`` there is one column only.
    """
    lanes, i64 = sums.dtype.lanes, types.int64
    single = isinstance(second, types.NoneType)

    def generate(context, builder, signature, args):
        sums_, _, _, _, x_, first_, second_ = args
        rows = [registers(builder, builder.extract_value(sums_, r)) for r in range(sums.count)]
        factors = row_factors(context, builder, weights, args[1:4], sums.count, single)
        offsets = (first_, None if single else second_)
        starts = [o and emit.address(context, builder, x, x_, o) for o in offsets]
        for here, words in column_pairs(builder, *starts, lanes):
            for row, factor in zip(rows, factors, strict=True):
                row[here] = add_products(builder, row[here], words, factor)
        return context.make_tuple(builder, sums, [emit.concatenate(builder, row) for row in rows])

    return sums(sums, weights, i64, i64, x, i64, second if single else i64), generate


@intrinsic
def load_row_pairs(typing_context, array, offset, stride, count, bundle, like):
    """Read a bundle of float32 rows, as bundles of words: rows 0 and 1 together, 2 and 3, ….

    Row r starts at ``offset + r * stride``; those from ``count`` on are not there, and read as 0.
    Words travel as the floats that have their bits.
    """
    vector = bundle.dtype

    def generate(context, builder, signature, args):
        array_, offset_, stride_, count_ = args[:4]
        kind, rows = emit.llvm_vector(vector.dtype, vector.lanes), []
        for r in range(bundle.count):
            number = ir.Constant(emit.I64, r)
            there = builder.icmp_signed("<", number, count_)
            safe = builder.select(there, number, ir.Constant(emit.I64, 0))
            place = builder.add(offset_, builder.mul(stride_, safe))
            row = emit.load(builder, emit.address(context, builder, array, array_, place), kind)
            rows.append(builder.select(there, row, ir.Constant(kind, [0.0] * kind.count)))
        pairs = zip(rows[::2], rows[1::2], strict=True)
        words = [builder.bitcast(words_of(builder, a, b), kind) for a, b in pairs]
        return context.make_tuple(builder, like, words)

    i64 = types.int64
    return like(array, i64, i64, i64, bundle, like), generate


@intrinsic
def store_row_pairs(typing_context, out, offset, pairs):
    """Write the first words of all pairs, then the second ones, and so on, at ``offset``."""
    lanes, count = pairs.dtype.lanes, pairs.count

    def generate(context, builder, signature, args):
        parts = [builder.extract_value(args[2], p) for p in range(count)]
        whole = emit.concatenate(builder, parts)
        mixed = emit.pick(builder, whole, whole,
                          [p * lanes + q for q in range(lanes) for p in range(count)])  # fmt: skip
        words = builder.bitcast(mixed, ir.VectorType(emit.I32, lanes * count))
        emit.store(builder, emit.address(context, builder, out, args[0], args[1]), words)
        return context.get_dummy_value()

    return types.void(out, types.int64, pairs), generate


@intrinsic
def sum_of_row_pairs(typing_context, v, weights, k, pairs):
    """Return ``v`` with each of the bundle's words times ``weights[k + p]`` added, in order."""

    def generate(context, builder, signature, args):
        v_, weights_, k_, pairs_ = args
        start = emit.address(context, builder, weights, weights_, k_)
        sums, kind = registers(builder, v_), ir.VectorType(emit.I32, WORDS)
        for p in range(pairs.count):
            word = builder.load(builder.gep(start, [ir.Constant(emit.I64, p)]))
            factor = emit.splat(builder, word, kind)
            for q, words in enumerate(registers(builder, builder.extract_value(pairs_, p))):
                sums[q] = add_products(builder, sums[q], words, factor)
        return emit.concatenate(builder, sums)

    return v(v, weights, types.int64, pairs), generate


@intrinsic(prefer_literal=True)
def add_pair_dot_tile(typing_context, sums, x, x_base, indices, k, columns, dy, dy_first, lanes):
    """Do as ``bundles.add_dot_tile`` for woven rows: neighbouring samples are pairs already."""
    count, wide = columns.literal_value, lanes.literal_value
    rows = sums.count // count

    def generate(context, builder, signature, args):
        sums_, x_, base_, indices_, k_, _, dy_, first_, _ = args
        found = [builder.extract_value(sums_, q) for q in range(sums.count)]
        start = emit.address(context, builder, indices, indices_, k_)
        read = []
        for c in range(count):
            index = builder.load(builder.gep(start, [ir.Constant(emit.I64, c)]))
            index = builder.mul(builder.sext(index, emit.I64), ir.Constant(emit.I64, wide))
            read.append(emit.address(context, builder, x, x_, builder.add(index, base_)))
        begin = emit.address(context, builder, dy, dy_, first_)
        for lane in range(0, wide, RUN):
            emit.barrier(builder)  # read all ahead, the rows would not fit the registers
            across = [load_run(builder, at, lane) for at in read]
            for r in range(rows):
                dy_r = load_run(builder, begin, r * wide + lane)
                for c in range(count):
                    q = r * count + c
                    found[q] = add_products(builder, found[q], dy_r, across[c])
        return context.make_tuple(builder, sums, found)

    i64 = types.int64
    return sums(sums, x, i64, indices, i64, columns, dy, i64, lanes), generate
