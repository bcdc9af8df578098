"""How every kernel is compiled, and what compiling cost, said once."""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numba
from numba.core import event, types

from sparsecpu.kernels.machine import threads
from sparsecpu.kernels.machine.cache import harden

#: Never ``nnan`` or ``ninf``: the NaN guard must work. Without ``reassoc`` sums keep their order.
EXACT = {"contract", "nsz"}
#: For kernels that are compiled in one form only: LLVM may add up in the order that it likes.
FASTMATH = EXACT | {"reassoc", "arcp"}
#: Smaller numbers become 0 where more is computed from them: their products end among the subnormal
#: ones, on which arithmetic is many times slower.
TINY = 1e-30


def kernel(
    *, parallel: bool = False, part: bool = False, inlined: bool = False, exact: bool = False,
    reorders: bool = False,
) -> Callable[[Callable], Any]:  # fmt: skip
    """Return the decorator that every kernel carries.

    Where no cache directory can be written, a kernel is compiled anew in each process.

    Parameters
    ----------
    parallel : bool
        Run ``prange`` loops on Numba's threads, where there are several.
    part : bool
        For what is called from other kernels only, never from Python, and neither makes nor returns
        an array: compile it without reference counts, which would cost more than a part that
        handles one pixel, and without the wrapper that Python would call.
    inlined : bool
        For a part that becomes code of its caller: vectors as wide as a strip, which it takes or
        returns, would go through memory otherwise.
    exact : bool
        Let sums keep their order, as parts and parallel kernels do.
    reorders : bool
        For a parallel kernel that needs its sums vectorised, in an order that LLVM chooses. It has
        one form only, for one thread too: another might choose another order.
    """
    part = part or inlined
    exact = exact or part or (parallel and not reorders)
    options: dict[str, Any] = {
        "nogil": True, "fastmath": EXACT if exact else FASTMATH, "error_model": "numpy",
        # Numba makes two more functions of each, for callers in C and in Python: without those that
        # nobody calls, a convolution compiles in two thirds of the time.
        "no_cfunc_wrapper": True, "no_cpython_wrapper": part,
    }  # fmt: skip
    if part:
        options["_nrt"] = False
    if inlined:
        options["forceinline"] = True

    def decorate(function: Callable) -> Any:
        if not parallel:
            return _compiled(function, options)
        return Parallel(function, options, reorders)

    return decorate


def _compiled(function: Any, options: dict[str, Any]) -> Any:
    try:
        return harden(numba.njit(cache=True, **options)(function))
    except (RuntimeError, OSError):  # "no locator available": nowhere to keep a cache
        return numba.njit(**options)(function)


class Parallel:
    """A kernel with ``prange`` loops, compiled for several threads and, mostly, for a single one.

    For one thread they are plain loops, which take half the time to compile, or less, and nothing
    to start. As sums keep their order, both forms give the same bits. Kernels that reorder sums
    have no form for one thread.
    """

    def __init__(self, function: Any, options: dict[str, Any], reorders: bool) -> None:
        self.together = _compiled(function, {**options, "parallel": True})
        self.alone: Any = None if reorders else _compiled(_twin(function), options)
        functools.update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> Any:
        """Run it on the current number of threads."""
        team = threads.chosen.threads or threads.available_threads()
        if team > 1:
            return self.together(*arguments)
        if self.alone is not None:
            return self.alone(*arguments)
        with threads.one_of_numbas():
            return self.together(*arguments)


def _twin(function: Any) -> Any:
    """Return a copy by another name: Numba keeps compiled code by name, whatever the options."""
    twin = FunctionType(
        function.__code__, function.__globals__, function.__name__, None, function.__closure__
    )
    twin.__qualname__ = f"{function.__qualname__}_alone"
    twin.__module__ = function.__module__
    return twin


class AddressBook:
    """Where the compiled forms of a kernel are, for ``kernels.machine.spread``.

    A parallel kernel that calls another by name has it compiled anew inside itself, twice; one that
    calls an address does not, and serves all kernels that take the same arguments.
    """

    def __init__(self, function: Any) -> None:
        self.function = function
        self._found: dict[Any, int] = {}

    def address(self, key: Any, *arguments: Any) -> int:
        """Return the address of the form for an int64 and these arguments; compile a new one.

        ``key`` tells their types, and is cheaper to look up than these.
        """
        if key not in self._found:
            kinds = (types.int64, *(numba.typeof(argument) for argument in arguments))
            self.function.compile(kinds)
            form = self.function.overloads[kinds]
            name = form.fndesc.llvm_func_name
            self._found[key] = form.library.get_pointer_to_function(name)
        return self._found[key]


class CompileClock(event.Listener):
    """Adds up the seconds that Numba spends compiling; nested compilations count once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.on_first: Callable[[], None] | None = None
        self._depth = 0
        self._started = 0.0

    def on_start(self, event: Any) -> None:
        """Note that a compilation begins."""
        if self._depth == 0:
            self._started = time.perf_counter()
            if self.on_first is not None:
                self.on_first()
                self.on_first = None
        self._depth += 1

    def on_end(self, event: Any) -> None:
        """Note that a compilation ends."""
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._started


compile_clock = CompileClock()
event.register("numba:compile", compile_clock)


# Kernels without prange work inside are still launched through the parallel target, so that one
# code path serves any number of threads; Numba's advice to drop parallel=True does not apply.
warnings.filterwarnings("ignore", category=numba.NumbaPerformanceWarning, module="sparsecpu")
