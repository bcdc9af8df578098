"""Numba's decorator with our cache, and what compiles a part of other kernels."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numba

from sparsecpu.kernels.machine.cache import KernelCache
from sparsecpu.kernels.machine.parts import PartCompiler

#: Never ``nnan`` or ``ninf``: the NaN guard must work. Without ``reassoc`` sums keep their order.
EXACT = {"contract", "nsz"}
#: Without reference counts, which would cost more than a part that handles one pixel, and without
#: the wrapper that Python would call.
PART_OPTIONS: dict[str, Any] = {
    "nogil": True, "fastmath": EXACT, "error_model": "numpy", "no_cfunc_wrapper": True,
    "no_cpython_wrapper": True, "_nrt": False, "pipeline_class": PartCompiler,
}  # fmt: skip


def kept(function: Callable, options: dict[str, Any], told_by: Callable | None = None) -> Any:
    """Return a function that Numba compiles, and keeps in the cache where one can be written.

    What is kept is found again by what the function is made of, or the one that it stands for.
    """
    dispatcher = numba.njit(**options)(function)
    with contextlib.suppress(RuntimeError, OSError):  # nowhere to keep a cache
        dispatcher._cache = KernelCache(function, told_by)
    return dispatcher


def address_of(function: Any, kinds: tuple) -> int:
    """Return the address of the form of a compiled function for arguments of some kinds."""
    function.compile(kinds)
    form = function.overloads[kinds]
    return form.library.get_pointer_to_function(form.fndesc.llvm_func_name)
