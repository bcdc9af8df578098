"""Vectors as wide as a tile, for Numba: what is computed with them, lane by lane.

LLVM splits such a vector into as many registers as the CPU needs (8 of 512 bits for 128 floats,
16 of 256 bits on AVX2), so one source serves every machine. Plain loops would store and reload
their sums at every step, and check every index.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from sparsecpu.kernels.machine.compile import TINY
from sparsecpu.kernels.vectors import llvm as emit


@intrinsic
def count(typing_context, v):
    """Return how many lanes a vector has."""

    def generate(context, builder, signature, args):
        return ir.Constant(emit.I64, v.lanes)

    return types.int64(v), generate


@intrinsic(prefer_literal=True)
def splat(typing_context, scalar, lanes):
    """Return a vector with ``scalar`` in every lane."""
    vector = emit.Vector(scalar, lanes.literal_value)

    def generate(context, builder, signature, args):
        return emit.splat(builder, args[0], emit.llvm_vector(vector.dtype, vector.lanes))

    return vector(scalar, lanes), generate


@intrinsic
def splat_like(typing_context, scalar, v):
    """Return a vector like ``v`` with ``scalar`` in every lane."""

    def generate(context, builder, signature, args):
        return emit.splat(builder, args[0], emit.llvm_vector(v.dtype, v.lanes))

    return v(v.dtype, v), generate


@intrinsic
def add(typing_context, u, v):
    """Return ``u + v``."""

    def generate(context, builder, signature, args):
        return builder.fadd(args[0], args[1], flags=emit.FLAGS)

    return v(u, v), generate


@intrinsic
def minus(typing_context, v, scalar):
    """Return ``v - scalar``."""

    def generate(context, builder, signature, args):
        return builder.fsub(args[0], emit.splat(builder, args[1], args[0].type), flags=emit.FLAGS)

    return v(v, v.dtype), generate


@intrinsic
def subtract(typing_context, u, v):
    """Return ``u - v``."""

    def generate(context, builder, signature, args):
        return builder.fsub(args[0], args[1], flags=emit.FLAGS)

    return v(u, v), generate


@intrinsic
def multiply(typing_context, u, v):
    """Return ``u * v``."""

    def generate(context, builder, signature, args):
        return builder.fmul(args[0], args[1], flags=emit.FLAGS)

    return v(u, v), generate


@intrinsic
def times(typing_context, v, scalar):
    """Return ``v * scalar``."""

    def generate(context, builder, signature, args):
        return builder.fmul(args[0], emit.splat(builder, args[1], args[0].type), flags=emit.FLAGS)

    return v(v, v.dtype), generate


@intrinsic
def fma(typing_context, accumulator, scalar, v):
    """Return ``accumulator + scalar * v``."""

    def generate(context, builder, signature, args):
        return emit.fma(builder, args[0], emit.splat(builder, args[1], args[2].type), args[2])

    return v(accumulator, v.dtype, v), generate


@intrinsic
def multiply_add(typing_context, a, b, c):
    """Return ``a * b + c`` of single numbers, rounded once where the CPU can.

    Of two products that are added up, LLVM rounds either one separately, as it likes: not the same
    one in a kernel's forms for one thread and for several.
    """

    def generate(context, builder, signature, args):
        element = "f64" if a.bitwidth == 64 else "f32"
        kind = ir.FunctionType(args[0].type, [args[0].type] * 3)
        name = f"llvm.fmuladd.{element}"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)

    return a(a, a, a), generate


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
def inverse_root(typing_context, v, scalar):
    """Return ``1 / sqrt(v + scalar)``."""

    def generate(context, builder, signature, args):
        kind = args[0].type
        suffix = "f64" if isinstance(kind.element, ir.DoubleType) else "f32"
        same = ir.FunctionType(kind, [kind])
        root = cgutils.get_or_insert_function(
            builder.module, same, f"llvm.sqrt.v{kind.count}{suffix}"
        )
        value = builder.fadd(args[0], emit.splat(builder, args[1], kind))
        one = ir.Constant(kind, [1.0] * kind.count)
        return builder.fdiv(one, builder.call(root, [value]))

    return v(v, v.dtype), generate


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
def widened(typing_context, v):
    """Return a vector of float64 in as many bytes: of float32, the sum of its two halves."""
    narrow = v.dtype != types.float64
    wide = emit.Vector(types.float64, max(1, v.lanes // 2) if narrow else v.lanes)

    def generate(context, builder, signature, args):
        value = args[0]
        if value.type.count > wide.lanes:
            value = emit.halve(builder, value)
        kind = emit.llvm_vector(wide.dtype, wide.lanes)
        return builder.fpext(value, kind) if narrow else value

    return wide(v), generate


@intrinsic
def in_float64(typing_context, v):
    """Return a vector with the same numbers in float64."""
    wide = emit.Vector(types.float64, v.lanes)

    def generate(context, builder, signature, args):
        kind = emit.llvm_vector(wide.dtype, wide.lanes)
        return args[0] if v.dtype == types.float64 else builder.fpext(args[0], kind)

    return wide(v), generate


@intrinsic
def first_of(typing_context, v):
    """Return the number in the first lane."""

    def generate(context, builder, signature, args):
        return builder.extract_element(args[0], ir.Constant(emit.I32, 0))

    return v.dtype(v), generate


@intrinsic
def total(typing_context, v):
    """Return the sum over the lanes."""

    def generate(context, builder, signature, args):
        value = args[0]
        while value.type.count > 1:
            value = emit.halve(builder, value)
        return builder.extract_element(value, ir.Constant(emit.I32, 0))

    return v.dtype(v), generate
