"""What the intrinsics are made of: one type for vectors, and the LLVM instructions for its pieces.

Rows of 16-bit numbers may stand where rows of floats are read; see
``kernels.vectors.sixteen_bits`` for their two forms. They are told by the array's type:
``uint16`` holds fp16, ``uint32`` bf16 in pairs.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import models, register_model

I32 = ir.IntType(32)
I64 = ir.IntType(64)
#: NaN and infinity keep their meaning, and sums their order; see compile.EXACT.
FLAGS = ("contract", "nsz")
#: Products are folded to this many lanes before they are transposed and summed.
FOLD = 16


class Vector(types.Type):
    """Numba type of a vector of ``lanes`` floats held in registers."""

    def __init__(self, dtype, lanes):
        self.dtype = dtype
        self.lanes = lanes
        super().__init__(name=f"Vector({dtype}, {lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, llvm_vector(vector.dtype, vector.lanes))


def llvm_vector(dtype, lanes):
    """Return LLVM's type of a vector."""
    return ir.VectorType(ir.DoubleType() if dtype == types.float64 else ir.FloatType(), lanes)


def address(context, builder, array_type, array, offset):
    """Return the address of an element of an array."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [offset])


def load(builder, address, vector_type):
    """Read a vector."""
    value = builder.load(builder.bitcast(address, vector_type.as_pointer()))
    value.align = 4  # views may start anywhere; our own arrays are 64-byte aligned and run faster
    return value


def store(builder, address, value):
    """Write a vector."""
    builder.store(value, builder.bitcast(address, value.type.as_pointer())).align = 4


def pick(builder, a, b, lanes):
    """Return lanes of two vectors, those of the second counted on from the first's."""
    mask = ir.Constant(ir.VectorType(I32, len(lanes)), lanes)
    return builder.shuffle_vector(a, b, mask)


def splat(builder, scalar, vector_type):
    """Return a vector with a scalar in every lane."""
    undefined = ir.Constant(vector_type, ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return pick(builder, one, undefined, [0] * vector_type.count)


def fma(builder, a, b, c):
    """Return ``a + b * c``, rounded once where the CPU can."""
    element = "f64" if isinstance(a.type.element, ir.DoubleType) else "f32"
    kind = ir.FunctionType(a.type, [a.type] * 3)
    name = f"llvm.fmuladd.v{a.type.count}{element}"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [b, c, a])


def halve(builder, v):
    """Return the sum of a vector's two halves."""
    half = v.type.count // 2
    low = pick(builder, v, v, list(range(half)))
    high = pick(builder, v, v, list(range(half, 2 * half)))
    return builder.fadd(low, high, flags=FLAGS)


def row(builder, dtype, address, lanes):
    """Read a row of ``lanes`` numbers as floats, in runs of at most ``FOLD``."""
    run = min(FOLD, lanes)
    floats = ir.VectorType(ir.FloatType(), run)

    def words(element, count, first):
        kind = ir.VectorType(element, count)
        here = builder.gep(address, [ir.Constant(I64, first)])
        value = builder.load(builder.bitcast(here, kind.as_pointer()))
        value.align = 4
        return value

    if dtype == types.uint16:
        halves = [words(ir.IntType(16), run, f) for f in range(0, lanes, run)]
        kind = ir.VectorType(ir.HalfType(), run)
        return [builder.fpext(builder.bitcast(value, kind), floats) for value in halves]
    count = min(run, lanes // 2)
    pairs = [words(I32, count, f) for f in range(0, lanes // 2, count)]
    sixteen = ir.Constant(pairs[0].type, [16] * count)
    low = [builder.shl(pair, sixteen) for pair in pairs]
    kind = ir.VectorType(ir.FloatType(), count)
    found = [builder.bitcast(value, kind) for value in low + pairs]
    if count < run:
        found = [pick(builder, found[0], found[1], list(range(run)))]
    return found


def barrier(builder):
    """Keep what is read after this line from being read before it, for want of registers."""
    kind = ir.FunctionType(ir.VoidType(), [])
    builder.asm(kind, "", "~{memory}", [], True)


def concatenate(builder, parts):
    """Return vectors one after the other, as one."""
    while len(parts) > 1:
        lanes = list(range(2 * parts[0].type.count))
        parts = [pick(builder, a, b, lanes) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def place(builder, dtype, offset):
    """Return where the row of 16-bit numbers starts whose floats would start at ``offset``."""
    return builder.lshr(offset, ir.Constant(I64, 1)) if dtype == types.uint32 else offset


def vector_of(array, lanes):
    """Return the type of rows of an array once they are read."""
    narrow = isinstance(array.dtype, types.Integer)
    return Vector(types.float32 if narrow else array.dtype, lanes)
