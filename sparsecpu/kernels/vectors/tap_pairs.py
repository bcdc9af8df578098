"""Taps of a group of filters, one at a time or, where their factors are bf16, two at a time.

What filters read from, a ring of pixels, holds bf16 as ``kernels.vectors.sixteen_bits`` says: a
word has two lanes of one pixel, far apart. Halves of words of two pixels make pairs for
``kernels.vectors.pairs``. Weights in 16 bits, an array of uint16, ask for it. Where lines are
multiplied with each other, for dW, words of both are multiplied as they are.
"""

from __future__ import annotations

import math

from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from sparsecpu.kernels.vectors import llvm as emit
from sparsecpu.kernels.vectors.pairs import (
    WORDS,
    add_products,
    registers,
    row_factors,
    words_of,
)


def _pixel_words(context, builder, ring, ring_, place, count):
    """Read so many words at a place that counts lanes."""
    here = emit.address(context, builder, ring, ring_, emit.place(builder, ring.dtype, place))
    kind = ir.VectorType(emit.I32, count)
    words = builder.load(builder.bitcast(here, kind.as_pointer()))
    words.align = 4
    return words


def _add_words(context, builder, sums, sums_, factors, a, b, part):
    """Return a bundle with products of the lanes of words added: all low halves come first.

    Those of registers in which no lane of ``part`` is are left as they are.
    """
    half = sums.dtype.lanes // (2 * WORDS)
    used = range(part[0] // (2 * WORDS), -(-part[1] // (2 * WORDS)))

    def bits(value):
        return ir.Constant(a.type, [value] * a.type.count)

    low, high = builder.and_(a, bits(0xFFFF)), builder.lshr(a, bits(16))
    if b is not None:
        low = builder.or_(low, builder.shl(b, bits(16)))
        high = builder.or_(high, builder.and_(b, bits(0xFFFF0000)))
    pairs, rows = registers(builder, low) + registers(builder, high), []
    for r, factor in enumerate(factors):
        parts = registers(builder, builder.extract_value(sums_, r))
        for q in (*used, *(half + q for q in used)):
            parts[q] = add_products(builder, parts[q], pairs[q], factor)
        rows.append(emit.concatenate(builder, parts))
    return context.make_tuple(builder, sums, rows)


@intrinsic
def taps_at_once(typing_context, weights):
    """Return how many taps products of these weights take at once: 2 in 16 bits, else 1."""

    def generate(context, builder, signature, args):
        return ir.Constant(emit.I64, 1 + (weights.dtype == types.uint16))

    return types.int64(weights), generate


@intrinsic(prefer_literal=True)
def add_two_taps(typing_context, sums, weights, k, stride, ring, first, second, begin, end):
    """Return the bundle with the products of two taps added, those of weights in 16 bits.

    Row r's weights are ``weights[k + r * stride]`` and the one behind it. Of other weights there
    are no such products: nothing is added. Lanes from ``begin`` on and before ``end`` matter.
    """
    part = begin.literal_value, end.literal_value

    def generate(context, builder, signature, args):
        if weights.dtype != types.uint16:
            return args[0]
        factors = row_factors(context, builder, weights, args[1:4], sums.count, False)
        count = sums.dtype.lanes // 2
        a, b = (_pixel_words(context, builder, ring, args[4], at, count) for at in args[5:7])
        return _add_words(context, builder, sums, args[0], factors, a, b, part)

    i64 = types.int64
    return sums(sums, weights, i64, i64, ring, i64, i64, begin, end), generate


@intrinsic(prefer_literal=True)
def add_tap(typing_context, sums, weights, k, stride, ring, place, begin, end):
    """Return the bundle with a tap's products added: row r's weight is ``weights[k + r * stride]``.

    Weights are of any type. Lanes from ``begin`` on and before ``end`` matter; others may be left.
    """
    lanes, part = sums.dtype.lanes, (begin.literal_value, end.literal_value)
    size = math.gcd(math.gcd(*part), lanes) if ring.dtype == sums.dtype.dtype else lanes

    def generate(context, builder, signature, args):
        sums_, weights_, k_, stride_, ring_, place_ = args[:6]
        if weights.dtype == types.uint16:
            factors = row_factors(context, builder, weights, args[1:4], sums.count, True)
            a = _pixel_words(context, builder, ring, ring_, place_, lanes // 2)
            return _add_words(context, builder, sums, sums_, factors, a, None, part)
        here = emit.place(builder, ring.dtype, place_)
        here = emit.address(context, builder, ring, ring_, here)
        kind, whole = emit.llvm_vector(sums.dtype.dtype, size), range(0, lanes, size)
        found = {}
        if ring.dtype == sums.dtype.dtype:
            for f in range(*part, size):
                place_f = builder.gep(here, [ir.Constant(emit.I64, f)])
                found[f] = emit.load(builder, place_f, kind)
        else:
            found[0] = emit.concatenate(builder, emit.row(builder, ring.dtype, here, lanes))
        rows = []
        for r in range(sums.count):
            at = builder.add(k_, builder.mul(stride_, ir.Constant(emit.I64, r)))
            weight = builder.load(emit.address(context, builder, weights, weights_, at))
            weight, row = emit.splat(builder, weight, kind), builder.extract_value(sums_, r)
            parts = [emit.pick(builder, row, row, list(range(f, f + size))) for f in whole]
            parts = [emit.fma(builder, v, weight, found[f]) if f in found else v
                     for f, v in zip(whole, parts, strict=True)]  # fmt: skip
            rows.append(emit.concatenate(builder, parts))
        return context.make_tuple(builder, sums, rows)

    i64 = types.int64
    return sums(sums, weights, i64, i64, ring, i64, begin, end), generate


@intrinsic
def store_words(typing_context, array, offset, v):
    """Write a pixel of float32 as words of bf16, its first half in the low halves of its words.

    ``offset`` counts words. They travel as the floats that have their bits.
    """

    def generate(context, builder, signature, args):
        array_, offset_, v_ = args
        half = v.lanes // 2
        low = emit.pick(builder, v_, v_, list(range(half)))
        high = emit.pick(builder, v_, v_, list(range(half, v.lanes)))
        emit.store(builder, emit.address(context, builder, array, array_, offset_),
                   words_of(builder, low, high))  # fmt: skip
        return context.get_dummy_value()

    return types.void(array, types.int64, v), generate


def _words_at(context, builder, array, array_, place, count):
    """Read so many words, zeros behind them, as many as fill a register."""
    here = emit.address(context, builder, array, array_, place)
    kind = ir.VectorType(emit.I32, count)
    words = builder.load(builder.bitcast(here, kind.as_pointer()))
    words.align = 4
    if count == WORDS:
        return words
    zeros = ir.Constant(kind, [0] * count)
    return emit.pick(builder, words, zeros, [min(n, count) for n in range(WORDS)])


@intrinsic
def add_word_products(typing_context, tile, ring, places, offset, lines, here, stride, like):
    """Do as ``tap_tiles.add_products`` for lines of bf16, of as many numbers as ``like`` has.

    Places and ``offset`` count the numbers of the ring, ``here`` and ``stride`` the words of
    ``lines``.
    """
    columns, count = places.count, min(like.lanes // 2, WORDS)
    rows = tile.count // columns

    def generate(context, builder, signature, args):
        tile_, ring_, places_, offset_, lines_, here_, stride_, _ = args
        sums, across = [builder.extract_value(tile_, q) for q in range(tile.count)], []
        for c in range(columns):
            place = builder.add(builder.extract_value(places_, c), offset_)
            place = emit.place(builder, types.uint32, place)
            across.append(_words_at(context, builder, ring, ring_, place, count))
        for r in range(rows):
            place = builder.add(here_, builder.mul(stride_, ir.Constant(emit.I64, r)))
            down = _words_at(context, builder, lines, lines_, place, count)
            for c in range(columns):
                q = r * columns + c
                sums[q] = add_products(builder, sums[q], down, across[c])
        return context.make_tuple(builder, tile, sums)

    i64 = types.int64
    return tile(tile, ring, places, i64, lines, i64, i64, like), generate
