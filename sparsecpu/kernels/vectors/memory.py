"""Vectors between memory and registers: loads, stores, prefetches.

Offsets count elements from the start of a C-contiguous array. ``load`` also reads rows of 16-bit
numbers, as floats.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from sparsecpu.kernels.vectors import llvm as emit


@intrinsic
def at(typing_context, array, i):
    """Read ``array[i]`` without Numba's handling of negative indices."""

    def generate(context, builder, signature, args):
        return builder.load(emit.address(context, builder, signature.args[0], args[0], args[1]))

    return array.dtype(array, types.int64), generate


def _reader(array, vector):
    def generate(context, builder, signature, args):
        offset = emit.place(builder, array.dtype, args[1])
        address = emit.address(context, builder, array, args[0], offset)
        if array.dtype != vector.dtype:
            return emit.concatenate(builder, emit.row(builder, array.dtype, address, vector.lanes))
        return emit.load(builder, address, emit.llvm_vector(vector.dtype, vector.lanes))

    return generate


@intrinsic(prefer_literal=True)
def load(typing_context, array, offset, lanes):
    """Read ``lanes`` contiguous numbers at ``offset``, as floats."""
    vector = emit.vector_of(array, lanes.literal_value)
    return vector(array, types.int64, lanes), _reader(array, vector)


@intrinsic
def load_like(typing_context, array, offset, v):
    """Read as many contiguous numbers at ``offset`` as ``v`` has lanes, as floats."""
    return v(array, types.int64, v), _reader(array, v)


@intrinsic
def store(typing_context, array, offset, v):
    """Write a vector at ``offset``."""

    def generate(context, builder, signature, args):
        emit.store(
            builder, emit.address(context, builder, signature.args[0], args[0], args[1]), args[2]
        )
        return context.get_dummy_value()

    return types.void(array, types.int64, v), generate


@intrinsic
def store_output(typing_context, array, offset, v, large):
    """Write a vector at ``offset``; where ``large``, past the caches.

    Then whole lines go, ``array`` is 64-byte aligned, and another thread that reads it needs a
    ``fence`` in between.
    """

    def generate(context, builder, signature, args):
        address, value = emit.address(context, builder, array, args[0], args[1]), args[2]
        line = 512 // v.dtype.bitwidth
        if v.lanes % line:
            emit.store(builder, address, value)
            return context.get_dummy_value()
        mark = builder.module.add_metadata([ir.Constant(emit.I32, 1)])
        with builder.if_else(args[3]) as (past_caches, to_caches):
            with past_caches:
                for first in range(0, v.lanes, line):
                    part = emit.pick(builder, value, value, list(range(first, first + line)))
                    place = builder.gep(address, [ir.Constant(emit.I64, first)])
                    written = builder.store(part, builder.bitcast(place, part.type.as_pointer()))
                    written.align = 64
                    written.set_metadata("nontemporal", mark)
            with to_caches:
                emit.store(builder, address, value)
        return context.get_dummy_value()

    return types.void(array, types.int64, v, types.boolean), generate


@intrinsic
def fence(typing_context):
    """Wait until other threads can read everything that was written."""

    def generate(context, builder, signature, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def load_bytes(typing_context, array, offset, v):
    """Read as many bytes at ``offset`` as ``v`` has lanes, as a vector like ``v``."""

    def generate(context, builder, signature, args):
        address = emit.address(context, builder, array, args[0], args[1])
        kind = ir.VectorType(ir.IntType(8), v.lanes)
        value = builder.load(builder.bitcast(address, kind.as_pointer()))
        value.align = 1
        return builder.uitofp(value, args[2].type)

    return v(array, types.int64, v), generate


@intrinsic
def store_bytes(typing_context, array, offset, v):
    """Write a vector of numbers from 0 to 255 at ``offset``, a byte each."""

    def generate(context, builder, signature, args):
        kind = ir.VectorType(ir.IntType(8), v.lanes)
        value = builder.fptosi(args[2], ir.VectorType(emit.I32, v.lanes))
        address = emit.address(context, builder, array, args[0], args[1])
        builder.store(
            builder.trunc(value, kind), builder.bitcast(address, kind.as_pointer())
        ).align = 1
        return context.get_dummy_value()

    return types.void(array, types.int64, v), generate


def _prefetcher(array, lanes, level, *, write=0):
    def generate(context, builder, signature, args):
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, emit.I32, emit.I32, emit.I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        address = emit.address(context, builder, array, args[0], args[1])
        for first in range(0, lanes, 512 // array.dtype.bitwidth):
            place = builder.bitcast(builder.gep(address, [ir.Constant(emit.I64, first)]), byte)
            builder.call(
                function, [place, *(ir.Constant(emit.I32, n) for n in (write, 4 - level, 1))]
            )
        return context.get_dummy_value()

    return generate


@intrinsic(prefer_literal=True)
def prefetch(typing_context, array, offset, lanes, level):
    """Prefetch ``lanes`` numbers at ``offset`` into the cache of level 1 or 2."""
    generate = _prefetcher(array, lanes.literal_value, level.literal_value)
    return types.void(array, types.int64, lanes, level), generate


@intrinsic
def prefetch_like(typing_context, array, offset, v):
    """Prefetch as many numbers at ``offset`` as ``v`` has into the cache of level 2."""
    return types.void(array, types.int64, v), _prefetcher(array, v.lanes, 2)


@intrinsic
def prefetch_to_write(typing_context, array, offset, v):
    """Prefetch as many numbers at ``offset`` as ``v`` has, which are going to be written."""
    return types.void(array, types.int64, v), _prefetcher(array, v.lanes, 1, write=1)
