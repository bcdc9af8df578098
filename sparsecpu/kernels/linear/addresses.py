"""Arrays by their addresses, in kernels that one compiled form of which serves all networks."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core.extending import intrinsic


@intrinsic
def read(typing_context, address, i, like):
    """Read number ``i`` of an array at an address, of the type of the array ``like``."""

    def generate(context, builder, signature, args):
        place = builder.inttoptr(args[0], context.get_data_type(like.dtype).as_pointer())
        return builder.load(builder.gep(place, [args[1]]))

    return like.dtype(types.int64, types.int64, like), generate


@intrinsic
def write(typing_context, address, i, value):
    """Write number ``i`` of an array at an address."""

    def generate(context, builder, signature, args):
        place = builder.inttoptr(args[0], args[2].type.as_pointer())
        builder.store(args[2], builder.gep(place, [args[1]]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, value), generate


def _reader(kind, bits):
    """Return an intrinsic that reads integer ``i``, of so many bits, of an array at an address."""

    @intrinsic
    def read(typing_context, address, i):
        def generate(context, builder, signature, args):
            place = builder.inttoptr(args[0], ir.IntType(bits).as_pointer())
            return builder.load(builder.gep(place, [args[1]]))

        return kind(types.int64, types.int64), generate

    return read


read_int32, read_int64 = _reader(types.int32, 32), _reader(types.int64, 64)
