"""Work that is spread over Numba's threads: one kernel for all that is called by its address.

A kernel that calls another by name has it compiled anew inside itself; one that calls an address
serves all kernels that take the same arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numba.core import cgutils, types
from numba.core.extending import intrinsic

from sparsecpu.kernels.machine.compile import AddressBook, kernel
from sparsecpu.kernels.machine.team import share


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


@kernel(parallel=True)
def _for_each(team, count, address, *arguments):
    """Call the kernel at an address for every number from 0 to ``count - 1``."""
    for number in share(team, count):
        call_address(address, (np.int64(number), *arguments))


def _fields(arguments: tuple) -> Iterator[Any]:
    """Yield arguments, and of tuples their fields in order."""
    for argument in arguments:
        if isinstance(argument, tuple):
            yield from _fields(argument)
        else:
            yield argument


def spread(work: Callable) -> Callable:
    """Return ``run(count, key, *arguments)``, which runs ``work(number, *arguments)`` in parallel.

    ``key`` tells the types that the arguments may have. Named tuples among them arrive whole but
    travel as their fields: unboxed by Numba they would take three times as long (3.4 µs for four
    of six fields, not 1.6), and a call's arguments lie the same way in both forms.
    """
    book = AddressBook(work)

    def run(count: int, key: Any, *arguments: Any) -> None:
        address = book.address(key, *arguments)
        _for_each(count, address, *_fields(arguments))

    return run
