"""Vectors as wide as a tile, for Numba: one opaque type per width, LLVM's ``<lanes x float>``.

LLVM splits such a vector into as many registers as the CPU needs (8 of 512 bits for 128 floats,
16 of 256 bits for 128 on AVX2), so one source serves every machine. What plain loops lose (stores
and reloads of the accumulator, index checks) is what this file is for.

Offsets count elements from the start of a C-contiguous array.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from sparsecpu.kernels.machine.compile import TINY
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
def splat_like(typing_context, scalar, v):
    """Return a vector like ``v`` with ``scalar`` in every lane."""

    def generate(context, builder, signature, args):
        return emit.splat(builder, args[0], emit.llvm_vector(v.dtype, v.lanes))

    return v(v.dtype, v), generate


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
def put(typing_context, array, offset, v, past):
    """Write a vector at ``offset``; with ``past``, past the caches.

    Then whole lines go, ``array`` is 64-byte aligned, and who reads it on another thread needs a
    ``fence`` in between.
    """

    def generate(context, builder, signature, args):
        address, value = emit.address(context, builder, array, args[0], args[1]), args[2]
        line = 512 // v.dtype.bitwidth
        if v.lanes % line:
            emit.store(builder, address, value)
            return context.get_dummy_value()
        mark = builder.module.add_metadata([ir.Constant(emit.I32, 1)])
        with builder.if_else(args[3]) as (beyond, as_usual):
            with beyond:
                for first in range(0, v.lanes, line):
                    part = emit.pick(builder, value, value, list(range(first, first + line)))
                    place = builder.gep(address, [ir.Constant(emit.I64, first)])
                    written = builder.store(part, builder.bitcast(place, part.type.as_pointer()))
                    written.align = 64
                    written.set_metadata("nontemporal", mark)
            with as_usual:
                emit.store(builder, address, value)
        return context.get_dummy_value()

    return types.void(array, types.int64, v, types.boolean), generate


@intrinsic
def fence(typing_context):
    """Wait until everything that was written can be read by others."""

    def generate(context, builder, signature, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic(prefer_literal=True)
def splat(typing_context, scalar, lanes):
    """Return a vector with ``scalar`` in every lane."""
    vector = emit.Vector(scalar, lanes.literal_value)

    def generate(context, builder, signature, args):
        return emit.splat(builder, args[0], emit.llvm_vector(vector.dtype, vector.lanes))

    return vector(scalar, lanes), generate


@intrinsic
def fma(typing_context, accumulator, scalar, v):
    """Return ``accumulator + scalar * v``."""

    def generate(context, builder, signature, args):
        return emit.fma(builder, args[0], emit.splat(builder, args[1], args[2].type), args[2])

    return v(accumulator, v.dtype, v), generate


@intrinsic
def count(typing_context, v):
    """Return how many lanes a vector has."""

    def generate(context, builder, signature, args):
        return ir.Constant(emit.I64, v.lanes)

    return types.int64(v), generate


@intrinsic
def repeated(typing_context, v, wide):
    """Return a vector like ``wide``: the numbers of ``v`` again and again."""

    def generate(context, builder, signature, args):
        again = [lane % v.lanes for lane in range(wide.lanes)]
        return emit.pick(builder, args[0], args[0], again)

    return wide(v, wide), generate


@intrinsic
def folded(typing_context, v, narrow):
    """Return the sum of a vector's runs, each as long as the vector ``narrow``."""

    def generate(context, builder, signature, args):
        value = args[0]
        while value.type.count > narrow.lanes:
            value = emit.halve(builder, value)
        return value

    return narrow(v, narrow), generate


@intrinsic
def add(typing_context, u, v):
    """Return ``u + v``."""

    def generate(context, builder, signature, args):
        return builder.fadd(args[0], args[1], flags=emit.FLAGS)

    return v(u, v), generate


@intrinsic
def multiply(typing_context, u, v):
    """Return ``u * v``."""

    def generate(context, builder, signature, args):
        return builder.fmul(args[0], args[1], flags=emit.FLAGS)

    return v(u, v), generate


def _asker(array, lanes, level):
    def generate(context, builder, signature, args):
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, emit.I32, emit.I32, emit.I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        address = emit.address(context, builder, array, args[0], args[1])
        for first in range(0, lanes, 512 // array.dtype.bitwidth):
            place = builder.bitcast(builder.gep(address, [ir.Constant(emit.I64, first)]), byte)
            builder.call(function, [place, *(ir.Constant(emit.I32, n) for n in (0, 4 - level, 1))])
        return context.get_dummy_value()

    return generate


@intrinsic(prefer_literal=True)
def prefetch(typing_context, array, offset, lanes, level):
    """Ask for the cache lines of ``lanes`` numbers at ``offset``, in the cache of level 1 or 2."""
    generate = _asker(array, lanes.literal_value, level.literal_value)
    return types.void(array, types.int64, lanes, level), generate


@intrinsic
def prefetch_like(typing_context, array, offset, v):
    """Ask for the cache lines of as many numbers as ``v`` has, in the cache of level 2."""
    return types.void(array, types.int64, v), _asker(array, v.lanes, 2)


@intrinsic
def positive_part(typing_context, v):
    """Return ``max(v, 0)``; NaN stays NaN."""

    def generate(context, builder, signature, args):
        zero = ir.Constant(args[0].type, [0.0] * args[0].type.count)
        return builder.select(builder.fcmp_ordered("<", args[0], zero), zero, args[0])

    return v(v), generate


@intrinsic
def where_positive(typing_context, v, gate):
    """Return ``v`` in the lanes where ``gate > 0`` and 0 elsewhere."""

    def generate(context, builder, signature, args):
        zero = ir.Constant(args[0].type, [0.0] * args[0].type.count)
        return builder.select(builder.fcmp_ordered(">", args[1], zero), args[0], zero)

    return v(v, gate), generate


@intrinsic
def without_tiny(typing_context, v):
    """Return ``v`` with 0 in the lanes that are smaller than ``compile.TINY``; NaN stays NaN."""

    def generate(context, builder, signature, args):
        kind = args[0].type
        suffix = "f64" if isinstance(kind.element, ir.DoubleType) else "f32"
        name = f"llvm.fabs.v{kind.count}{suffix}"
        same = ir.FunctionType(kind, [kind])
        absolute = cgutils.get_or_insert_function(builder.module, same, name)
        tiny = ir.Constant(kind, [TINY] * kind.count)
        small = builder.fcmp_ordered("<", builder.call(absolute, [args[0]]), tiny)
        return builder.select(small, ir.Constant(kind, [0.0] * kind.count), args[0])

    return v(v), generate


@intrinsic
def where_larger(typing_context, v, best, this, that):
    """Return ``this`` in the lanes where ``v > best`` or v is NaN, and ``that`` elsewhere."""

    def generate(context, builder, signature, args):
        larger = builder.fcmp_ordered(">", args[0], args[1])
        larger = builder.or_(larger, builder.fcmp_unordered("!=", args[0], args[0]))
        return builder.select(larger, args[2], args[3])

    return this(v, best, this, that), generate


@intrinsic
def where_equal(typing_context, u, number, v):
    """Return ``v`` in the lanes where ``u`` is a number and 0 elsewhere."""

    def generate(context, builder, signature, args):
        zero = ir.Constant(args[2].type, [0.0] * v.lanes)
        equal = builder.fcmp_ordered("==", args[0], emit.splat(builder, args[1], args[0].type))
        return builder.select(equal, args[2], zero)

    return v(u, u.dtype, v), generate


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


@intrinsic
def total(typing_context, v):
    """Return the sum over the lanes."""

    def generate(context, builder, signature, args):
        value = args[0]
        while value.type.count > 1:
            value = emit.halve(builder, value)
        return builder.extract_element(value, ir.Constant(emit.I32, 0))

    return v.dtype(v), generate


@intrinsic
def call_address(typing_context, address, arguments):
    """Call the kernel at an address with a tuple of arguments; it returns nothing."""
    kinds = tuple(arguments)

    def generate(context, builder, signature, values):
        pointer = context.call_conv.get_function_type(types.none, kinds).as_pointer()
        function = builder.inttoptr(values[0], pointer)
        unpacked = cgutils.unpack_tuple(builder, values[1])
        context.call_conv.call_function(builder, function, types.none, kinds, unpacked)
        return context.get_dummy_value()

    return types.void(address, arguments), generate
