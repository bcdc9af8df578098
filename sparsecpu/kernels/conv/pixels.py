"""Pixels in a convolution's ring, in 32 or in 16 bits.

A pixel is as many numbers as a tile has samples. In 16 bits it is what
``kernels.vectors.sixteen_bits`` says of a row: fp16 one after the other, or bf16 in pairs, the
pixel's first half in the low halves of its words and its second half in the high ones. Two
neighbouring pixels a and b of four numbers, in words of bf16 pairs and as the ring is read::

    words        a0|a2  a1|a3  b0|b2  b1|b3        (low half | high half)
    ring order   a0 a1 b0 b1   a2 a3 b2 b3         low halves first
    memory order a0 a1 a2 a3   b0 b1 b2 b3

For the other forms the two orders are the same. Offsets and sizes count numbers, whatever a word of
the ring holds.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.core.extending import intrinsic

from sparsecpu.kernels.vectors import llvm as emit
from sparsecpu.kernels.vectors.sixteen_bits import bf16_pairs


def _paired(array) -> bool:
    return array.dtype == types.uint32


def _apart(lanes: int, pixel: int) -> list[int]:
    """Return where the numbers of pixels come from in the order of the ring."""
    half = pixel // 2
    first = [p + n for p in range(0, lanes, pixel) for n in range(half)]
    return first + [n + half for n in first]


@intrinsic
def numbers(typing_context, ring):
    """Return how many numbers a worker's part of the ring holds."""

    def generate(context, builder, signature, args):
        shape = context.make_array(ring)(context, builder, args[0]).shape
        words = builder.extract_value(shape, 1)
        return builder.mul(words, ir.Constant(words.type, 2 if _paired(ring) else 1))

    return types.int64(ring), generate


@intrinsic
def store_pixels(typing_context, ring, offset, v, pixel):
    """Write neighbouring pixels, each as wide as the vector ``pixel``, into the ring."""

    def generate(context, builder, signature, args):
        value, here = args[2], emit.place(builder, ring.dtype, args[1])
        address = emit.address(context, builder, ring, args[0], here)
        if ring.dtype == types.uint16:
            half = builder.fptrunc(value, ir.VectorType(ir.HalfType(), v.lanes))
            value = builder.bitcast(half, ir.VectorType(ir.IntType(16), v.lanes))
        elif _paired(ring):
            order, half = _apart(v.lanes, pixel.lanes), v.lanes // 2
            first = emit.pick(builder, value, value, order[:half])
            second = emit.pick(builder, value, value, order[half:])
            value = bf16_pairs(builder, first, second)
        place = builder.bitcast(address, value.type.as_pointer())
        builder.store(value, place).align = 2 if ring.dtype == types.uint16 else 4
        return context.get_dummy_value()

    return types.void(ring, types.int64, v, pixel), generate


def _reordered(ring, v, pixel, back):
    def generate(context, builder, signature, args):
        if not _paired(ring):
            return args[1]
        order = _apart(v.lanes, pixel.lanes)
        if back:
            order = [order.index(n) for n in range(v.lanes)]
        return emit.pick(builder, args[1], args[1], order)

    return v(ring, v, pixel), generate


@intrinsic
def to_ring_order(typing_context, ring, v, pixel):
    """Return a vector of pixels, each as wide as ``pixel``, in the order of the ring."""
    return _reordered(ring, v, pixel, back=False)


@intrinsic
def to_memory_order(typing_context, ring, v, pixel):
    """Return a vector that is in the order of the ring in the order of memory."""
    return _reordered(ring, v, pixel, back=True)


@intrinsic
def rows_to_memory_order(typing_context, ring, bundle, pixel):
    """Return a bundle whose rows are in the order of the ring in the order of memory."""
    _, reorder = _reordered(ring, bundle.dtype, pixel, back=True)

    def generate(context, builder, signature, args):
        rows = []
        for r in range(bundle.count):
            row = builder.extract_value(args[1], r)
            rows.append(reorder(context, builder, signature, [args[0], row]))
        return context.make_tuple(builder, bundle, rows)

    return bundle(ring, bundle, pixel), generate
