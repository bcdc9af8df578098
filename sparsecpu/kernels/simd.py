"""Vectors as wide as a tile, for Numba: one opaque type per width, LLVM's ``<lanes x float>``.

LLVM splits such a vector into as many registers as the CPU needs (8 of 512 bits for 128 floats,
16 of 256 bits for 128 on AVX2), so one source serves every machine. What plain loops lose (stores
and reloads of the accumulator, index checks) is what this file is for.

Offsets count elements from the start of a C-contiguous array.

Rows of 16-bit numbers may stand where rows of floats are read; see ``sparsecpu.kernels.narrow`` for
their two forms. They are told by the array's type: ``uint16`` holds fp16, ``uint32`` bf16 in pairs.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic, models, register_model

_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
#: NaN and infinity keep their meaning; see compile.FASTMATH.
_FLAGS = ("contract", "reassoc", "nsz")
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
        super().__init__(manager, vector, _llvm_vector(vector.dtype, vector.lanes))


def _llvm_vector(dtype, lanes):
    return ir.VectorType(ir.DoubleType() if dtype == types.float64 else ir.FloatType(), lanes)


def _address(context, builder, array_type, array, offset):
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [offset])


def _load(builder, address, vector_type):
    value = builder.load(builder.bitcast(address, vector_type.as_pointer()))
    value.align = 4  # views may start anywhere; our own arrays are 64-byte aligned and run faster
    return value


def _store(builder, address, value):
    builder.store(value, builder.bitcast(address, value.type.as_pointer())).align = 4


def _pick(builder, a, b, lanes):
    mask = ir.Constant(ir.VectorType(_I32, len(lanes)), lanes)
    return builder.shuffle_vector(a, b, mask)


def _splat(builder, scalar, vector_type):
    undefined = ir.Constant(vector_type, ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
    return _pick(builder, one, undefined, [0] * vector_type.count)


def _fma(builder, a, b, c):
    """Return ``a + b * c``, contracted."""
    return builder.fadd(a, builder.fmul(b, c, flags=_FLAGS), flags=_FLAGS)


def _halve(builder, v):
    half = v.type.count // 2
    low = _pick(builder, v, v, list(range(half)))
    high = _pick(builder, v, v, list(range(half, 2 * half)))
    return builder.fadd(low, high, flags=_FLAGS)


def _row(builder, dtype, address, lanes):
    """Read a row of ``lanes`` numbers as floats, in runs of at most ``FOLD``."""
    run = min(FOLD, lanes)
    floats = ir.VectorType(ir.FloatType(), run)

    def words(element, count, first):
        kind = ir.VectorType(element, count)
        here = builder.gep(address, [ir.Constant(_I64, first)])
        value = builder.load(builder.bitcast(here, kind.as_pointer()))
        value.align = 4
        return value

    if dtype == types.uint16:
        halves = [words(ir.IntType(16), run, f) for f in range(0, lanes, run)]
        kind = ir.VectorType(ir.HalfType(), run)
        return [builder.fpext(builder.bitcast(value, kind), floats) for value in halves]
    count = min(run, lanes // 2)
    pairs = [words(_I32, count, f) for f in range(0, lanes // 2, count)]
    sixteen = ir.Constant(pairs[0].type, [16] * count)
    low = [builder.shl(pair, sixteen) for pair in pairs]
    kind = ir.VectorType(ir.FloatType(), count)
    found = [builder.bitcast(value, kind) for value in low + pairs]
    if count < run:
        found = [_pick(builder, found[0], found[1], list(range(run)))]
    return found


def _concatenate(builder, parts):
    while len(parts) > 1:
        lanes = list(range(2 * parts[0].type.count))
        parts = [_pick(builder, a, b, lanes) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _place(builder, dtype, offset):
    """Return where the row of 16-bit numbers starts whose floats would start at ``offset``."""
    return builder.lshr(offset, ir.Constant(_I64, 1)) if dtype == types.uint32 else offset


def _vector_of(array, lanes):
    narrow = isinstance(array.dtype, types.Integer)
    return Vector(types.float32 if narrow else array.dtype, lanes)


@intrinsic
def at(typing_context, array, i):
    """Read ``array[i]`` without Numba's handling of negative indices."""

    def generate(context, builder, signature, args):
        return builder.load(_address(context, builder, signature.args[0], args[0], args[1]))

    return array.dtype(array, types.int64), generate


@intrinsic(prefer_literal=True)
def load(typing_context, array, offset, lanes):
    """Read ``lanes`` contiguous numbers at ``offset``, as floats."""
    vector = _vector_of(array, lanes.literal_value)

    def generate(context, builder, signature, args):
        offset = _place(builder, array.dtype, args[1])
        address = _address(context, builder, signature.args[0], args[0], offset)
        if array.dtype != vector.dtype:
            return _concatenate(builder, _row(builder, array.dtype, address, vector.lanes))
        return _load(builder, address, _llvm_vector(vector.dtype, vector.lanes))

    return vector(array, types.int64, lanes), generate


@intrinsic
def load_like(typing_context, array, offset, v):
    """Read as many contiguous numbers at ``offset`` as ``v`` has lanes."""

    def generate(context, builder, signature, args):
        address = _address(context, builder, array, args[0], args[1])
        return _load(builder, address, _llvm_vector(v.dtype, v.lanes))

    return v(array, types.int64, v), generate


@intrinsic
def splat_like(typing_context, scalar, v):
    """Return a vector like ``v`` with ``scalar`` in every lane."""

    def generate(context, builder, signature, args):
        return _splat(builder, args[0], _llvm_vector(v.dtype, v.lanes))

    return v(v.dtype, v), generate


@intrinsic
def store(typing_context, array, offset, v):
    """Write a vector at ``offset``."""

    def generate(context, builder, signature, args):
        _store(builder, _address(context, builder, signature.args[0], args[0], args[1]), args[2])
        return context.get_dummy_value()

    return types.void(array, types.int64, v), generate


@intrinsic
def stream(typing_context, array, offset, v):
    """Write a vector at ``offset`` past the caches; ``array`` is 64-byte aligned, whole lines go.

    Who reads it on another thread needs a ``fence`` in between.
    """

    def generate(context, builder, signature, args):
        address, value = _address(context, builder, array, args[0], args[1]), args[2]
        line = 512 // v.dtype.bitwidth
        if v.lanes % line:
            _store(builder, address, value)
            return context.get_dummy_value()
        past = builder.module.add_metadata([ir.Constant(_I32, 1)])
        for first in range(0, v.lanes, line):
            part = _pick(builder, value, value, list(range(first, first + line)))
            place = builder.gep(address, [ir.Constant(_I64, first)])
            written = builder.store(part, builder.bitcast(place, part.type.as_pointer()))
            written.align = 64
            written.set_metadata("nontemporal", past)
        return context.get_dummy_value()

    return types.void(array, types.int64, v), generate


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
    vector = Vector(scalar, lanes.literal_value)

    def generate(context, builder, signature, args):
        return _splat(builder, args[0], _llvm_vector(vector.dtype, vector.lanes))

    return vector(scalar, lanes), generate


@intrinsic
def fma(typing_context, accumulator, scalar, v):
    """Return ``accumulator + scalar * v``."""

    def generate(context, builder, signature, args):
        return _fma(builder, args[0], _splat(builder, args[1], args[2].type), args[2])

    return v(accumulator, v.dtype, v), generate


@intrinsic
def add(typing_context, u, v):
    """Return ``u + v``."""

    def generate(context, builder, signature, args):
        return builder.fadd(args[0], args[1], flags=_FLAGS)

    return v(u, v), generate


@intrinsic
def multiply(typing_context, u, v):
    """Return ``u * v``."""

    def generate(context, builder, signature, args):
        return builder.fmul(args[0], args[1], flags=_FLAGS)

    return v(u, v), generate


@intrinsic(prefer_literal=True)
def prefetch(typing_context, array, offset, lanes, level):
    """Ask for the cache lines of ``lanes`` numbers at ``offset``, in the cache of level 1 or 2."""

    def generate(context, builder, signature, args):
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        address = _address(context, builder, array, args[0], args[1])
        near = 4 - level.literal_value
        for first in range(0, lanes.literal_value, 512 // array.dtype.bitwidth):
            place = builder.bitcast(builder.gep(address, [ir.Constant(_I64, first)]), byte)
            builder.call(function, [place, *(ir.Constant(_I32, n) for n in (0, near, 1))])
        return context.get_dummy_value()

    return types.void(array, types.int64, lanes, level), generate


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
        equal = builder.fcmp_ordered("==", args[0], _splat(builder, args[1], args[0].type))
        return builder.select(equal, args[2], zero)

    return v(u, u.dtype, v), generate


@intrinsic
def load_bytes(typing_context, array, offset, v):
    """Read as many bytes at ``offset`` as ``v`` has lanes, as a vector like ``v``."""

    def generate(context, builder, signature, args):
        address = _address(context, builder, array, args[0], args[1])
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
        value = builder.fptosi(args[2], ir.VectorType(_I32, v.lanes))
        address = _address(context, builder, array, args[0], args[1])
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
            value = _halve(builder, value)
        return builder.extract_element(value, ir.Constant(_I32, 0))

    return v.dtype(v), generate


def _exchange(builder, a, b, level):
    """Swap every second run of ``2**level`` lanes of ``a`` with the run before it in ``b``."""
    count, step = a.type.count, 1 << level
    first = [i if not (i >> level) & 1 else count + i - step for i in range(count)]
    second = [i + step if not (i >> level) & 1 else count + i for i in range(count)]
    return _pick(builder, a, b, first), _pick(builder, a, b, second)


def _merge(builder, a, b, level):
    """Add pairs of lanes of ``a`` and ``b`` so that each result keeps half of the lanes of each.

    After ``log2(group)`` levels lane k holds the sum of the k-th vector: a transpose and a sum in
    one, with ``group - 1`` merges for ``group`` horizontal sums.
    """
    return builder.fadd(*_exchange(builder, a, b, level), flags=_FLAGS)


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
        source, wide = x.dtype, _llvm_vector(out.dtype, FOLD)
        raw = ir.VectorType(context.get_data_type(source), FOLD)
        shape = context.make_array(x)(context, builder, x_).shape
        features = builder.extract_value(shape, 1)
        lanes = builder.extract_value(context.make_array(out)(context, builder, out_).shape, 2)
        first = _address(context, builder, rows, rows_, sample_)
        block = []
        for q in range(FOLD):
            row = builder.load(builder.gep(first, [ir.Constant(_I64, q)]))
            begin = builder.add(builder.mul(row, features), feature_)
            address = _address(context, builder, x, x_, begin)
            value = builder.load(builder.bitcast(address, raw.as_pointer()))
            value.align = 1 if isinstance(source, types.Integer) else 4
            value = _to_float(builder, value, source, wide)
            block.append(builder.fmul(builder.fsub(value, offset_), scale_))
        for level in range(4):  # after level l, runs of 2**(l+1) lanes are where they belong
            step = 1 << level
            for q in range(FOLD):
                if not q & step:
                    block[q], block[q + step] = _exchange(builder, block[q], block[q + step], level)
        for q, value in enumerate(block):
            here = builder.add(place_, builder.mul(lanes, ir.Constant(_I64, q)))
            _store(builder, _address(context, builder, out, out_, here), value)
        return context.get_dummy_value()

    signature = types.void(x, rows, types.int64, types.int64, offset, scale, out, types.int64)
    return signature, generate


def _dot_products(context, builder, dtype, rows, dy_, dy, size):
    """Return the dot products of rows at these addresses with ``dy``, as one vector."""
    fold_type = _llvm_vector(dy.dtype, FOLD)
    folds = range(0, dy.lanes, FOLD)
    parts = [_pick(builder, dy_, dy_, list(range(f, f + FOLD))) for f in folds]
    stack = []  # (level, partial sums); equal levels merge as soon as they meet
    for row in rows:
        if dtype == dy.dtype:
            places = [builder.gep(row, [ir.Constant(_I64, f)]) for f in folds]
            numbers = [_load(builder, place, fold_type) for place in places]
        else:
            numbers = _row(builder, dtype, row, dy.lanes)
        folded = builder.fmul(numbers[0], parts[0], flags=_FLAGS)
        for here, part in zip(numbers[1:], parts[1:], strict=True):
            folded = _fma(builder, folded, here, part)
        while folded.type.count > size:
            folded = _halve(builder, folded)
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
    result = Vector(dy.dtype, size)

    def generate(context, builder, signature, args):
        x_, indices_, k_, base_, dy_ = args[:5]
        first = _address(context, builder, indices, indices_, k_)

        def rows():
            for q in range(size):
                index = builder.load(builder.gep(first, [ir.Constant(_I64, q)]))
                if indices.dtype.bitwidth < 64:
                    index = builder.sext(index, _I64)
                offset = builder.add(builder.mul(index, ir.Constant(_I64, dy.lanes)), base_)
                yield _address(context, builder, x, x_, _place(builder, x.dtype, offset))

        return _dot_products(context, builder, x.dtype, rows(), dy_, dy, size)

    signature = result(x, indices, types.int64, types.int64, dy, group)
    return signature, generate


@intrinsic(prefer_literal=True)
def dot_taps(typing_context, ring, codes, bases, k, slots, dy, pixel, group):
    """Return ``group`` dot products of taps with ``dy``, as one vector.

    Tap q stands in ``ring`` from ``bases[slots + (code >> 24)] + (code & 0xffffff) * pixel`` on,
    where ``code = codes[k + q]``.
    """
    size, wide = group.literal_value, pixel.literal_value
    result = Vector(dy.dtype, size)

    def generate(context, builder, signature, args):
        ring_, codes_, bases_, k_, slots_, dy_ = args[:6]
        first = _address(context, builder, codes, codes_, k_)

        def rows():
            for q in range(size):
                code = builder.load(builder.gep(first, [ir.Constant(_I64, q)]))
                code = builder.sext(code, _I64)
                slot = builder.add(slots_, builder.ashr(code, ir.Constant(_I64, 24)))
                base = builder.load(_address(context, builder, bases, bases_, slot))
                place = builder.and_(code, ir.Constant(_I64, (1 << 24) - 1))
                offset = builder.add(base, builder.mul(place, ir.Constant(_I64, wide)))
                yield _address(context, builder, ring, ring_, _place(builder, ring.dtype, offset))

        return _dot_products(context, builder, ring.dtype, rows(), dy_, dy, size)

    signature = result(ring, codes, bases, types.int64, types.int64, dy, pixel, group)
    return signature, generate


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
